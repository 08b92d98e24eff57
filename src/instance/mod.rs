//! (room: instance)

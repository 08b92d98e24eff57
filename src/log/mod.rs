//! (room: log)

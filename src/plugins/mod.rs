//! (room: plugins)

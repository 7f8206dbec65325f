//! The engine that runs sessions on this process's own device.

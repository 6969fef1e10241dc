//! Server-sent events: how a stream is cut into events, wherever its chunks are cut.

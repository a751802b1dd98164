//! What an envelope carries: the WAKU-DATA format, sealed and opened (26/WAKU-PAYLOAD).

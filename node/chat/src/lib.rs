//! From an opened envelope payload to a message of a chat, and back. Public chats.
//!
//! An envelope's payload is a `ProtocolMessage` or, from older peers, a bare wrapper ([`protocol_message`]); the wrapper
//! names the author and the type of what it carries ([`wrapper`]); type 1 is a chat message ([`message`]), ordered by a
//! Lamport clock ([`clock`]). [`Engine`] is the machine over all of them: it is lent clocks and dice, asks for
//! signatures, and says what to persist before it says what to send.
//!
//! Specifications: 2/ACCOUNT, 5/SECURE-TRANSPORT, 6/PAYLOADS and 10/WAKU-USAGE of the Status v1 set; where they and
//! status-go differ, status-go decides.

pub mod clock;
pub mod engine;
pub mod message;
pub mod name;
pub mod protocol_message;
pub mod public;
pub mod seen;
pub mod state;
pub mod wrapper;

pub use clock::Lamport;
pub use engine::{Config, Engine, Event, Ignored, Input, NotPosted, Output, Parcel, Refused, Token};
pub use message::{ChatMessage, Content, MessageError};
pub use name::ChatName;
pub use protocol_message::InstallationId;
pub use seen::Seen;
pub use state::{Change, Chat, Draft, Message, State, Unsent};
pub use wrapper::{Wrapper, WrapperError};

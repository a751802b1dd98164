//! The functions of libpcsclite, under the names by which the crate `pcsc` calls them, found when they are called.
//!
//! A program that links this instead of libpcsclite is built and starts without it. The invariant: a function whose
//! library is not there answers `SCARD_E_NO_SERVICE` and touches nothing. Windows and macOS have PC/SC themselves, and this
//! package is empty there.
#![cfg(all(unix, not(target_os = "macos")))]

use std::ffi::{c_char, c_void};
use std::sync::OnceLock;

use libloading::Library;
use pcsc_sys::{DWORD, LONG, SCARD_E_NO_SERVICE, SCARD_IO_REQUEST, SCARD_READERSTATE, SCARDCONTEXT, SCARDHANDLE};

/// Loads the library unless it is loaded.
///
/// # Errors
/// The loader's words when there is none.
pub fn load() -> Result<(), libloading::Error> {
    loaded().map(drop)
}

fn loaded() -> Result<&'static Loaded, libloading::Error> {
    if let Some(loaded) = LOADED.get() {
        return Ok(loaded);
    }
    // Not found is no answer for ever: somebody may install it.
    let loaded = Loaded::new()?;
    Ok(LOADED.get_or_init(|| loaded))
}

static LOADED: OnceLock<Loaded> = OnceLock::new();

const NAME: &str = "libpcsclite.so.1";

macro_rules! functions {
    ($($name:ident($($argument:ident: $type:ty),* $(,)?);)*) => {
        /// The functions, for as long as their library is loaded.
        #[expect(non_snake_case, reason = "they have the names that the library gives them")]
        struct Loaded {
            $($name: unsafe extern "system" fn($($type),*) -> LONG,)*
            _library: Library,
        }

        impl Loaded {
            fn new() -> Result<Self, libloading::Error> {
                // SAFETY: libpcsclite's initialisers only set up its own locks.
                let library = unsafe { Library::new(NAME) }?;
                Ok(Self {
                    // SAFETY: a library of this name and major version has these functions with these types.
                    $($name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }?,)*
                    _library: library,
                })
            }
        }

        $(
            /// The library's function of this name.
            ///
            /// # Safety
            /// As PC/SC's documentation of it asks.
            #[unsafe(no_mangle)]
            pub unsafe extern "system" fn $name($($argument: $type),*) -> LONG {
                match loaded() {
                    // SAFETY: the caller keeps what the library asks for, and the function is what its name says.
                    Ok(loaded) => unsafe { (loaded.$name)($($argument),*) },
                    Err(_) => SCARD_E_NO_SERVICE,
                }
            }
        )*
    };
}

functions! {
    SCardEstablishContext(scope: DWORD, reserved1: *const c_void, reserved2: *const c_void, context: *mut SCARDCONTEXT);
    SCardReleaseContext(context: SCARDCONTEXT);
    SCardIsValidContext(context: SCARDCONTEXT);
    SCardCancel(context: SCARDCONTEXT);
    SCardConnect(
        context: SCARDCONTEXT, reader: *const c_char, share: DWORD, protocols: DWORD, card: *mut SCARDHANDLE,
        protocol: *mut DWORD,
    );
    SCardReconnect(card: SCARDHANDLE, share: DWORD, protocols: DWORD, initialization: DWORD, protocol: *mut DWORD);
    SCardDisconnect(card: SCARDHANDLE, disposition: DWORD);
    SCardGetStatusChange(context: SCARDCONTEXT, timeout: DWORD, states: *mut SCARD_READERSTATE, count: DWORD);
    SCardListReaders(context: SCARDCONTEXT, groups: *const c_char, readers: *mut c_char, length: *mut DWORD);
    SCardBeginTransaction(card: SCARDHANDLE);
    SCardEndTransaction(card: SCARDHANDLE, disposition: DWORD);
    SCardStatus(
        card: SCARDHANDLE, reader: *mut c_char, reader_length: *mut DWORD, state: *mut DWORD, protocol: *mut DWORD,
        atr: *mut u8, atr_length: *mut DWORD,
    );
    SCardGetAttrib(card: SCARDHANDLE, id: DWORD, value: *mut u8, length: *mut DWORD);
    SCardSetAttrib(card: SCARDHANDLE, id: DWORD, value: *const u8, length: DWORD);
    SCardTransmit(
        card: SCARDHANDLE, send_pci: *const SCARD_IO_REQUEST, send: *const u8, send_length: DWORD,
        receive_pci: *mut SCARD_IO_REQUEST, receive: *mut u8, receive_length: *mut DWORD,
    );
    SCardControl(
        card: SCARDHANDLE, code: DWORD, send: *const u8, send_length: DWORD, receive: *mut u8, receive_length: DWORD,
        returned: *mut DWORD,
    );
}

macro_rules! protocols {
    ($($name:ident = $protocol:literal;)*) => {$(
        /// The protocol of this name, as a header of SCardTransmit.
        #[unsafe(no_mangle)]
        pub static $name: SCARD_IO_REQUEST = SCARD_IO_REQUEST {
            dwProtocol: $protocol,
            cbPciLength: size_of::<SCARD_IO_REQUEST>() as DWORD,
        };
    )*};
}

protocols! {
    g_rgSCardT0Pci = 1;
    g_rgSCardT1Pci = 2;
    g_rgSCardRawPci = 4;
}

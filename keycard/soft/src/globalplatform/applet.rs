//! What an applet's memory is when it is installed, and what is left of it when it is deleted: nothing.

use rand_core::CryptoRng;

use super::domain::AppletName;
use super::load_file::prefixed;
use crate::data::DataSlot;
use crate::key::{Tree, draw, keep};
use crate::memory::State;
use crate::pairing::Pairings;

/// Makes an applet as new.
pub(super) fn forget(state: &mut State, applet: AppletName, rng: &mut dyn CryptoRng) {
    let model = state.model;
    match applet {
        AppletName::Keycard => {
            state.owner = None;
            state.tree = Tree::Standard;
            state.pairings = model.has_pairings().then(|| Pairings::blank(model, rng));
            state.data.forget(DataSlot::Public, model);
        }
        AppletName::Ndef => state.data.forget(DataSlot::Ndef, model),
        AppletName::Cash => {
            state.cash_key = keep(&draw(rng));
            state.data.forget(DataSlot::Cash, model);
        }
        AppletName::Ident => state.identity = None,
    }
}

/// Makes an applet as new, with what the installer gives it: `C9 len { length, content }`.
///
/// What does not fit the applet is left out: it does not look at it either.
pub(super) fn install(state: &mut State, applet: AppletName, parameters: &[u8], rng: &mut dyn CryptoRng) {
    forget(state, applet, rng);
    let model = state.model;
    let Some((given, _)) = parameters.strip_prefix(&[0xc9]).and_then(prefixed) else { return };
    match applet {
        AppletName::Ndef if model.has_long_ndef() => {
            let length = given.split_first_chunk().map(|(length, content)| (u16::from_be_bytes(*length), content));
            if length.is_some_and(|(length, content)| usize::from(length) == content.len()) {
                let _ = state.data.store(DataSlot::Ndef, 0, given, model);
            }
        }
        AppletName::Ndef | AppletName::Cash => {
            if let Some((content, [])) = prefixed(given) {
                let slot = if applet == AppletName::Cash { DataSlot::Cash } else { DataSlot::Ndef };
                let _ = state.data.store(slot, 0, content, model);
            }
        }
        AppletName::Keycard | AppletName::Ident => {}
    }
}

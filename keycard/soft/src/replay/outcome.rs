//! What a step was answered, what it should have been, and whether that is the same.

use std::fmt;

use super::verify::Verify;

/// What the client saw.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) sw: Option<String>,
    pub(super) place: Option<&'static str>,
    pub(super) iv: Option<&'static str>,
    pub(super) stage: Option<&'static str>,
    pub(super) slot: Option<u8>,
    pub(super) card_ok: Option<bool>,
    pub(super) survives: Option<bool>,
    pub(super) probe: Option<String>,
    pub(super) data: Option<Vec<u8>>,
}

/// What the recording says.
pub(super) struct Expected {
    pub(super) sw: Option<String>,
    pub(super) place: Option<String>,
    pub(super) iv: Option<String>,
    pub(super) stage: Option<String>,
    pub(super) slot: Option<u8>,
    pub(super) card_ok: Option<bool>,
    pub(super) survives: Option<bool>,
    pub(super) probe: Option<String>,
    /// Nothing; or nothing that is determined; or bytes of which some are not.
    pub(super) data: Option<Option<Vec<Option<u8>>>>,
    pub(super) len: Option<usize>,
    pub(super) verify: Option<Verify>,
}

impl Expected {
    /// Returns what is wrong with `got` beyond what it shows itself, or nothing when all is right.
    pub(super) fn differs(&self, got: &Outcome) -> Option<String> {
        let fields = self.sw == got.sw
            && self.place.as_deref() == got.place
            && self.iv.as_deref() == got.iv
            && self.stage.as_deref() == got.stage
            && self.slot == got.slot
            && self.card_ok == got.card_ok
            && self.survives == got.survives
            && self.probe == got.probe;
        if !(fields && self.has_data(got.data.as_deref())) {
            return Some(String::new());
        }
        let verify = self.verify.as_ref()?;
        let why = verify.check(got.data.as_deref().unwrap_or_default()).err()?;
        Some(format!(" ({why})"))
    }

    fn has_data(&self, got: Option<&[u8]>) -> bool {
        if self.len.is_some_and(|len| got.map(<[u8]>::len) != Some(len)) {
            return false;
        }
        match (&self.data, got) {
            (None, None) | (Some(None), Some(_)) => true,
            (Some(Some(pattern)), Some(got)) => {
                let bytes = pattern.iter().zip(got).all(|(want, have)| want.is_none_or(|want| want == *have));
                pattern.len() == got.len() && bytes
            }
            _ => false,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.data.as_ref().map(|data| match data {
            Some(bytes) => {
                bytes.iter().map(|byte| byte.map_or("..".to_owned(), |byte| format!("{byte:02x}"))).collect()
            }
            None => "*".to_owned(),
        });
        let verify = self.verify.as_ref().map(Verify::name);
        write(
            f,
            &[
                ("sw", self.sw.clone()),
                ("where", self.place.clone()),
                ("iv", self.iv.clone()),
                ("stage", self.stage.clone()),
                ("slot", self.slot.map(|slot| slot.to_string())),
                ("card_ok", self.card_ok.map(|ok| ok.to_string())),
                ("survives", self.survives.map(|survives| survives.to_string())),
                ("probe", self.probe.clone()),
                ("data", data),
                ("verify", verify.map(str::to_owned)),
            ],
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(
            f,
            &[
                ("sw", self.sw.clone()),
                ("where", self.place.map(str::to_owned)),
                ("iv", self.iv.map(str::to_owned)),
                ("stage", self.stage.map(str::to_owned)),
                ("slot", self.slot.map(|slot| slot.to_string())),
                ("card_ok", self.card_ok.map(|ok| ok.to_string())),
                ("survives", self.survives.map(|survives| survives.to_string())),
                ("probe", self.probe.clone()),
                ("data", self.data.as_ref().map(hex::encode)),
            ],
        )
    }
}

/// Writes the fields that are there.
fn write(f: &mut fmt::Formatter<'_>, fields: &[(&str, Option<String>)]) -> fmt::Result {
    let mut is_first = true;
    for (name, value) in fields {
        let Some(value) = value else { continue };
        let gap = if std::mem::take(&mut is_first) { "" } else { " " };
        write!(f, "{gap}{name}={value}")?;
    }
    Ok(())
}

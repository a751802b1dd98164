//! The language that says what goes wrong: `delay=200@3+,remove@7`.
//!
//! ```text
//! SPEC  = FAULT { "," FAULT }
//! FAULT = KIND "@" N [ "+" ]          N counts the commands from 1; "+": that one and every later one
//! KIND  = "delay=" MS | "remove" | "cut=" BYTES | "garbage=" BYTES | "signature"
//!       | "sw1=" XX | "sw=" XXXX | "endless"
//! ```

use std::str::FromStr;
use std::time::Duration;

/// What goes wrong, in the order in which it does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Returns what befalls the command of this number, counted from 1.
    pub(super) fn at(&self, number: u64) -> impl Iterator<Item = Kind> {
        self.0.iter().filter(move |fault| fault.befalls(number)).map(|fault| fault.kind)
    }
}

/// Text that says nothing that could go wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{fault}\" is no fault: {expected}")]
pub struct NotAFault {
    fault: String,
    expected: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fault {
    kind: Kind,
    first: u64,
    and_later: bool,
}

impl Fault {
    fn befalls(&self, number: u64) -> bool {
        number == self.first || (self.and_later && number > self.first)
    }
}

/// One way of going wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The answer comes late.
    Delay(Duration),
    /// The card is pulled after it has carried the command out, and before it answers.
    Remove,
    /// So many bytes are missing at the end.
    Cut(usize),
    /// So many random bytes come in place of the answer.
    Garbage(usize),
    /// The signature in the answer is wrong, and the channel around it is right.
    Signature,
    /// Another first byte of the status word.
    Sw1(u8),
    /// This status word in place of the answer.
    Status(u16),
    /// One byte, and the promise of more: `61FF`.
    Endless,
}

impl FromStr for Faults {
    type Err = NotAFault;

    fn from_str(text: &str) -> Result<Self, NotAFault> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Fault {
    type Err = NotAFault;

    fn from_str(text: &str) -> Result<Self, NotAFault> {
        let no = |expected| NotAFault { fault: text.chars().take(40).collect(), expected };
        let (what, when) = text.split_once('@').ok_or_else(|| no("say when, as in remove@3 or delay=50@3+"))?;
        let (number, and_later) = when.strip_suffix('+').map_or((when, false), |number| (number, true));
        let first = digits(number, u64::MAX).filter(|first| *first > 0);
        let first = first.ok_or_else(|| no("the number of a command is 1 or more"))?;
        let (name, value) = what.split_once('=').map_or((what, None), |(name, value)| (name, Some(value)));
        let kind = match (name, value) {
            ("delay", Some(ms)) => digits(ms, MAX_DELAY_MS)
                .map(|ms| Kind::Delay(Duration::from_millis(ms)))
                .ok_or_else(|| no("a delay is 0 to 600000 milliseconds"))?,
            ("cut", Some(bytes)) => {
                digits(bytes, MAX_BYTES).map(Kind::Cut).ok_or_else(|| no("what is cut off is 0 to 65535 bytes"))?
            }
            ("garbage", Some(bytes)) => {
                digits(bytes, MAX_BYTES).map(Kind::Garbage).ok_or_else(|| no("garbage is 0 to 65535 bytes"))?
            }
            ("sw1", Some(hex)) => hexadecimal(hex)
                .map(|[sw1]| Kind::Sw1(sw1))
                .ok_or_else(|| no("the first byte of a status word is 2 hexadecimal digits"))?,
            ("sw", Some(hex)) => hexadecimal(hex)
                .map(|bytes| Kind::Status(u16::from_be_bytes(bytes)))
                .ok_or_else(|| no("a status word is 4 hexadecimal digits"))?,
            ("remove", None) => Kind::Remove,
            ("signature", None) => Kind::Signature,
            ("endless", None) => Kind::Endless,
            _ => {
                return Err(no(
                    "there are delay=MS, remove, cut=BYTES, garbage=BYTES, signature, sw1=XX, sw=XXXX, endless",
                ));
            }
        };
        Ok(Self { kind, first, and_later })
    }
}

/// Returns a number of digits alone, up to `most`.
fn digits<N: TryFrom<u64>>(text: &str, most: u64) -> Option<N> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| plain && *number <= most)?;
    N::try_from(number).ok()
}

fn hexadecimal<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

const MAX_DELAY_MS: u64 = 600_000;
/// What one message of vpcd holds.
const MAX_BYTES: u64 = 65_535;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Faults, Kind};

    fn at(spec: &str, number: u64) -> Vec<Kind> {
        spec.parse::<Faults>().unwrap().at(number).collect()
    }

    #[test]
    fn every_fault_has_its_words_and_its_time() {
        let spec = "delay=200@2+,remove@9,cut=3@1,garbage=40@1,signature@1,sw1=6C@1,sw=6f00@1,endless@1";
        assert_eq!(
            at(spec, 1),
            [Kind::Cut(3), Kind::Garbage(40), Kind::Signature, Kind::Sw1(0x6c), Kind::Status(0x6f00), Kind::Endless]
        );
        let delay = Kind::Delay(Duration::from_millis(200));
        assert_eq!(at(spec, 2), [delay]);
        assert_eq!(at(spec, 9), [delay, Kind::Remove]);
        assert_eq!(at("remove@9", 10), []);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_reason() {
        for spec in [
            "",
            "remove",
            "remove@",
            "remove@0",
            "remove@-1",
            "remove@+1",
            "remove@1++",
            "remove=1@1",
            "delay@1",
            "delay=@1",
            "delay=-1@1",
            "delay=600001@1",
            "cut=65536@1",
            "sw1=6@1",
            "sw1=6A80@1",
            "sw=6A@1",
            "sw=xyzw@1",
            "endless@1,",
            "explode@1",
            "remove@18446744073709551616",
        ] {
            assert!(spec.parse::<Faults>().is_err(), "{spec}");
        }
        let error = "delay=50".parse::<Faults>().unwrap_err().to_string();
        assert_eq!(error, "\"delay=50\" is no fault: say when, as in remove@3 or delay=50@3+");
    }
}

//! CAP files: packages of Java Card applets (Java Card Virtual Machine Specification 2.2.2, chapter 6).
//!
//! ```text
//! a ZIP with NAME.cap for each component      component = tag(1) || size(2) || info(size)
//! what is loaded: C4 || BER length || Header Directory Import Applet Class Method StaticField Export ConstantPool
//!                 RefLocation, in this order; Descriptor and Debug stay behind
//! Header: magic(4) = DECAFFED || minor || major || flags || package { minor, major, AID length, AID } ..
//! Import: count || count x { minor, major, AID length, AID }
//! Applet: count || count x { AID length, AID, install method(2) }
//! ```
//! The invariant: a [`Cap`] has a header and a method component, and fits into the 256 blocks that a card counts.

use std::fmt;

use proto::Digest;
use sha2::{Digest as _, Sha256};

use crate::globalplatform::aid::Aid;
use crate::globalplatform::zip::Archive;

/// A package, ready to be loaded.
#[derive(Clone, PartialEq, Eq)]
pub struct Cap {
    package: Aid,
    version: [u8; 2],
    applets: Vec<Aid>,
    imports: Vec<Aid>,
    load_file: Vec<u8>,
}

/// Why a file is no package that could be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapError {
    /// The archive cannot be read.
    #[error("this is no CAP file, or a damaged one: its ZIP archive cannot be read")]
    NotAZip,
    /// The archive has not the components of a package.
    #[error("this is no CAP file, or a damaged one: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// It is larger than any card takes.
    #[error("this CAP file is too large: a card takes {MAX_LOAD_FILE} bytes")]
    TooLong,
}

impl Cap {
    /// Reads a CAP file.
    ///
    /// # Errors
    /// [`CapError`].
    pub fn parse(file: &[u8]) -> Result<Self, CapError> {
        let archive = Archive::parse(file)?;
        let mut components = [const { None }; COMPONENTS.len()];
        for entry in archive.entries() {
            let entry = entry?;
            let name = entry.name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            let wanted = COMPONENTS.iter().zip(&mut components).find(|((wanted, _), _)| wanted.as_bytes() == name);
            let Some(((_, tag), room)) = wanted else { continue };
            let content = archive.unpack(&entry, MAX_COMPONENT)?;
            match content.split_first_chunk() {
                Some(([first, high, low], info))
                    if first == tag && info.len() == usize::from(u16::from_be_bytes([*high, *low])) => {}
                _ => return Err(CapError::Malformed { what: "a component of another length than it says" }),
            }
            if room.replace(content).is_some() {
                return Err(CapError::Malformed { what: "two components of one name" });
            }
        }
        Self::of_components(&components)
    }

    fn of_components(components: &[Option<Vec<u8>>; COMPONENTS.len()]) -> Result<Self, CapError> {
        let [header, _, imports, applets, _, method, ..] = components;
        let header = header.as_deref().ok_or(CapError::Malformed { what: "there is no header" })?;
        if method.is_none() {
            return Err(CapError::Malformed { what: "there is no code" });
        }
        let (package, version) = read_header(header).ok_or(CapError::Malformed { what: "its header" })?;
        let imports = list(imports.as_deref(), read_import).ok_or(CapError::Malformed { what: "its imports" })?;
        let applets = list(applets.as_deref(), read_applet).ok_or(CapError::Malformed { what: "its applets" })?;
        let content = components.iter().flatten().flatten();
        let length = u16::try_from(content.clone().count()).map_err(|_| CapError::TooLong)?;
        let mut load_file = vec![0xC4];
        match length.to_be_bytes() {
            [0, short] if short < 0x80 => load_file.push(short),
            [0, low] => load_file.extend([0x81, low]),
            [high, low] => load_file.extend([0x82, high, low]),
        }
        load_file.extend(content);
        if load_file.len() > MAX_LOAD_FILE {
            return Err(CapError::TooLong);
        }
        Ok(Self { package, version, applets, imports, load_file })
    }

    /// Returns the package's name.
    #[must_use]
    pub fn package(&self) -> &Aid {
        &self.package
    }

    /// Returns the package's own version, major and minor. It is not the version of the Keycard applet.
    #[must_use]
    pub fn version(&self) -> [u8; 2] {
        self.version
    }

    /// Returns the applets in it.
    #[must_use]
    pub fn applets(&self) -> &[Aid] {
        &self.applets
    }

    /// Returns the packages that must be on the card before.
    #[must_use]
    pub fn imports(&self) -> &[Aid] {
        &self.imports
    }

    /// Returns SHA-256 of what is loaded.
    #[must_use]
    pub fn sha256(&self) -> Digest {
        Digest::from(<[u8; 32]>::from(Sha256::digest(&self.load_file)))
    }

    /// Returns the blocks that are loaded, one after the other. There are at most 256.
    pub(crate) fn blocks(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.load_file.chunks(BLOCK)
    }
}

impl fmt::Debug for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { package, version: [major, minor], applets, imports, load_file } = self;
        let bytes = load_file.len();
        write!(f, "Cap({package} {major}.{minor}, {} applets, {} imports, {bytes} bytes)", applets.len(), imports.len())
    }
}

/// Reads the package's name and version.
fn read_header(component: &[u8]) -> Option<(Aid, [u8; 2])> {
    let (_, info) = component.split_first_chunk::<3>()?;
    let rest = info.strip_prefix(&MAGIC)?;
    let (_, rest) = rest.split_first_chunk::<3>()?;
    let ([minor, major], rest) = rest.split_first_chunk()?;
    let (package, _) = aid(rest)?;
    Some((package, [*major, *minor]))
}

fn read_import(rest: &[u8]) -> Option<(Aid, &[u8])> {
    aid(rest.split_first_chunk::<2>()?.1)
}

fn read_applet(rest: &[u8]) -> Option<(Aid, &[u8])> {
    let (name, rest) = aid(rest)?;
    Some((name, rest.split_first_chunk::<2>()?.1))
}

/// Reads a component that is a list; one that is not there is an empty one.
fn list(component: Option<&[u8]>, read: impl Fn(&[u8]) -> Option<(Aid, &[u8])>) -> Option<Vec<Aid>> {
    let Some(component) = component else { return Some(Vec::new()) };
    let (_, info) = component.split_first_chunk::<3>()?;
    let (count, mut rest) = info.split_first()?;
    let mut names = Vec::new();
    for _ in 0..*count {
        let (name, behind) = read(rest)?;
        names.push(name);
        rest = behind;
    }
    rest.is_empty().then_some(names)
}

/// Reads a length byte and so many bytes of a name.
fn aid(bytes: &[u8]) -> Option<(Aid, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((Aid::new(name)?, rest))
}

/// The components that are loaded, in their order, with their tags.
const COMPONENTS: [(&str, u8); 10] = [
    ("Header.cap", 1),
    ("Directory.cap", 2),
    ("Import.cap", 4),
    ("Applet.cap", 3),
    ("Class.cap", 6),
    ("Method.cap", 7),
    ("StaticField.cap", 8),
    ("Export.cap", 10),
    ("ConstantPool.cap", 5),
    ("RefLocation.cap", 9),
];
const MAGIC: [u8; 4] = [0xDE, 0xCA, 0xFF, 0xED];
/// Tag, size, and as much as the size can say.
const MAX_COMPONENT: usize = 3 + u16::MAX as usize;
/// A block leaves room for the MAC in a command of 255 bytes.
const BLOCK: usize = 247;
/// The number of a block is one byte.
const MAX_LOAD_FILE: usize = 256 * BLOCK;

/// A synthetic CAP file: components that are right in form, and no code that a machine could run.
#[cfg(test)]
pub(crate) mod synthetic {
    use super::COMPONENTS;
    use crate::globalplatform::zip::crc32;

    fn lv(bytes: &[u8]) -> Vec<u8> {
        [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    /// The components of a package, with so many bytes of code.
    pub(crate) fn components(package: &[u8], applets: &[&[u8]], imports: &[&[u8]], code: usize) -> Vec<Vec<u8>> {
        let info = |tag| match tag {
            1 => [&[0xDE, 0xCA, 0xFF, 0xED, 1, 2, 0, 2, 1][..], &lv(package)].concat(),
            4 => imports.iter().fold(vec![imports.len() as u8], |list, name| [&list[..], &[0, 1], &lv(name)].concat()),
            3 => applets.iter().fold(vec![applets.len() as u8], |list, name| [&list[..], &lv(name), &[0, 9]].concat()),
            7 => (0..code).map(|at| at as u8).collect(),
            tag => vec![tag; 5],
        };
        let component = |&(_, tag): &(_, u8)| {
            let info = info(tag);
            [&[tag][..], &u16::try_from(info.len()).unwrap().to_be_bytes(), &info].concat()
        };
        COMPONENTS.iter().map(component).collect()
    }

    /// An archive of members, stored or deflated.
    pub(crate) fn zip(members: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for (name, content) in members {
            let packed = if deflate { miniz_oxide::deflate::compress_to_vec(content, 6) } else { content.to_vec() };
            let method = [if deflate { 8u16 } else { 0 }.to_le_bytes(), [0; 2], [0; 2]].concat();
            let sums = [crc32(content), packed.len() as u32, content.len() as u32].map(u32::to_le_bytes).concat();
            let name_length = (name.len() as u16).to_le_bytes();
            directory
                .extend([&b"PK\x01\x02"[..], &[20, 0, 20, 0, 0, 0], &method, &sums, &name_length, &[0; 12]].concat());
            directory.extend((file.len() as u32).to_le_bytes());
            directory.extend(name.as_bytes());
            file.extend([&b"PK\x03\x04"[..], &[20, 0, 0, 0], &method, &sums, &name_length, &[0; 2]].concat());
            file.extend(name.as_bytes());
            file.extend(packed);
        }
        let count = (members.len() as u16).to_le_bytes();
        let place = [directory.len() as u32, file.len() as u32].map(u32::to_le_bytes).concat();
        [&file[..], &directory, b"PK\x05\x06\0\0\0\0", &count, &count, &place, &[0; 2]].concat()
    }

    /// The CAP file of these components.
    pub(crate) fn file(components: &[Vec<u8>], deflate: bool) -> Vec<u8> {
        let names: Vec<_> = COMPONENTS.iter().map(|(name, _)| format!("org/example/javacard/{name}")).collect();
        let mut members = vec![("META-INF/MANIFEST.MF", &b"Manifest-Version: 1.0\n"[..])];
        members.extend(names.iter().map(String::as_str).zip(components.iter().map(Vec::as_slice)));
        members.push(("org/example/javacard/Debug.cap", b"stays behind"));
        zip(&members, deflate)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::synthetic::{components, file, zip};
    use super::*;
    use crate::globalplatform::aid::{IDENT, KEYCARD, MATH, PACKAGE};

    fn keycard() -> Vec<Vec<u8>> {
        components(PACKAGE, &[KEYCARD.0, IDENT.0], &[MATH], 20_000)
    }

    #[test]
    fn a_cap_file_is_read_and_what_is_loaded_has_its_components_in_order() {
        for deflate in [false, true] {
            let cap = Cap::parse(&file(&keycard(), deflate)).unwrap();
            assert!(cap.package().is(PACKAGE) && cap.imports().iter().any(|import| import.is(MATH)));
            assert_eq!((cap.version(), cap.applets().len()), ([1, 2], 2));
            let content = keycard().concat();
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            let loaded = [&[0xC4, 0x82][..], &length, &content].concat();
            assert_eq!(cap.blocks().collect::<Vec<_>>().concat(), loaded);
            assert!(cap.blocks().all(|block| block.len() <= 247));
            assert_eq!(cap.sha256().as_bytes()[..], Sha256::digest(&loaded)[..]);
            let shown = format!("{cap:?}");
            assert_eq!(shown, format!("Cap(a0000008040001 1.2, 2 applets, 1 imports, {} bytes)", loaded.len()));
        }
    }

    #[test]
    fn the_length_of_what_is_loaded_is_as_short_as_can_be() {
        for (code, prefix) in [(0, vec![0xC4, 90]), (60, vec![0xC4, 0x81, 150]), (400, vec![0xC4, 0x82, 0x01, 0xEA])] {
            let cap = Cap::parse(&file(&components(PACKAGE, &[KEYCARD.0], &[], code), false)).unwrap();
            assert_eq!(cap.load_file[..prefix.len()], prefix, "{code} bytes of code");
            assert_eq!(cap.load_file.len(), prefix.len() + 90 + code);
        }
    }

    #[test]
    fn a_package_without_header_or_code_or_with_a_lying_component_is_refused() {
        let without = |name: &str| {
            let parts = keycard();
            let kept = COMPONENTS.iter().zip(&parts).filter(|((it, _), _)| *it != name);
            let members: Vec<_> = kept.map(|((name, _), part)| (*name, part.as_slice())).collect();
            Cap::parse(&zip(&members, false))
        };
        assert!(without("Export.cap").is_ok(), "a package need not export anything");
        assert!(matches!(without("Header.cap"), Err(CapError::Malformed { .. })));
        assert!(matches!(without("Method.cap"), Err(CapError::Malformed { .. })));
        for (part, at, value) in [(0, 0, 9), (0, 2, 200), (0, 3, 0), (2, 3, 200), (3, 4, 4), (3, 4, 17), (5, 1, 0xff)] {
            let mut parts = keycard();
            parts[part][at] = value;
            assert!(matches!(Cap::parse(&file(&parts, true)), Err(CapError::Malformed { .. })), "{part} {at} {value}");
        }
        let parts = keycard();
        let twice = [("a/Header.cap", parts[0].as_slice()), ("b/Header.cap", &parts[0]), ("Method.cap", &parts[5])];
        assert!(matches!(Cap::parse(&zip(&twice, false)), Err(CapError::Malformed { .. })));
    }

    #[test]
    fn what_no_card_counts_is_too_long() {
        let fits = components(PACKAGE, &[KEYCARD.0], &[], MAX_LOAD_FILE - 4 - 90);
        assert_eq!(Cap::parse(&file(&fits, true)).unwrap().blocks().len(), 256);
        let more = components(PACKAGE, &[KEYCARD.0], &[], MAX_LOAD_FILE - 4 - 89);
        assert_eq!(Cap::parse(&file(&more, true)), Err(CapError::TooLong));
    }

    /// A member that says to be small and unpacks to much is given up at what it says.
    #[test]
    fn a_member_that_balloons_is_refused() {
        let bomb = vec![0; 50_000_000];
        let mut archive = zip(&[("Header.cap", &bomb)], true);
        assert_eq!(Cap::parse(&archive), Err(CapError::TooLong));
        let size = 50_000_000u32.to_le_bytes();
        let at: Vec<_> = archive.windows(4).enumerate().filter(|(_, it)| *it == size).map(|(at, _)| at).collect();
        assert_eq!(at.len(), 2, "in both headers");
        for at in at {
            archive[at..at + 4].copy_from_slice(&100u32.to_le_bytes());
        }
        assert_eq!(Cap::parse(&archive), Err(CapError::NotAZip));
    }

    #[test]
    fn what_is_no_archive_is_said_to_be_none() {
        for bytes in [&b""[..], b"PK", b"PK\x05\x06", &[0; 30_000], &file(&keycard(), true)[..500]] {
            assert_eq!(Cap::parse(bytes), Err(CapError::NotAZip));
        }
    }

    proptest! {
        #[test]
        fn any_damage_to_a_file_is_an_error_or_leaves_the_package_as_it_is(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            deflate: bool,
            cut: prop::sample::Index,
        ) {
            let small = file(&components(PACKAGE, &[KEYCARD.0], &[MATH], 300), deflate);
            let whole = Cap::parse(&small).unwrap();
            let mut harmed = small.clone();
            for (at, value) in changes {
                let at = at.index(harmed.len());
                harmed[at] = value;
            }
            if let Ok(cap) = Cap::parse(&harmed) {
                // A component that may be missing may have lost its name.
                prop_assert!(cap == whole || cap.load_file.len() < whole.load_file.len());
            }
            prop_assert!(Cap::parse(&small[..cut.index(small.len())]).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            drop(Cap::parse(&bytes));
            drop(Cap::parse(&[&bytes, &b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..], &bytes].concat()));
        }
    }
}

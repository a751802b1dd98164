//! A CAP file of the Keycard package that is right in form and has no code (Java Card Virtual Machine Specification 2.2.2,
//! chapter 6): no real one is in a registry, and no card of ours runs it.
//!
//! ```text
//! a ZIP with NAME.cap for each component      component = tag(1) || size(2) || info(size)
//! ```

/// Returns the file, with so many bytes in the place of code.
pub(crate) fn keycard_package(code: usize) -> Vec<u8> {
    let applets = [1, 2, 3, 4].map(|applet| [&[8], PACKAGE, &[applet], &[0, 9]].concat()).concat();
    let components: [(&str, u8, Vec<u8>); 10] = [
        ("Header", 1, [&[0xde, 0xca, 0xff, 0xed, 1, 2, 0, 2, 1, 7], PACKAGE].concat()),
        ("Directory", 2, vec![0; 31]),
        ("Import", 4, vec![0]),
        ("Applet", 3, [&[4], &applets[..]].concat()),
        ("Class", 6, vec![0; 8]),
        ("Method", 7, vec![0x7a; code]),
        ("StaticField", 8, vec![0; 10]),
        ("Export", 10, vec![0]),
        ("ConstantPool", 5, vec![0; 2]),
        ("RefLocation", 9, vec![0; 4]),
    ];
    zip(&components.map(|(name, tag, info)| {
        let size = u16::try_from(info.len()).unwrap_or(u16::MAX).to_be_bytes();
        (format!("im/status/keycard/javacard/{name}.cap"), [&[tag][..], &size, &info].concat())
    }))
}

/// Returns an archive of files that are stored as they are.
fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let (length, place) = (content.len() as u32, archive.len() as u32);
        let about = [
            &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
            &[crc32(content), length, length].map(u32::to_le_bytes).concat(),
            &(name.len() as u16).to_le_bytes(),
            &[0; 2],
        ]
        .concat();
        archive.extend([b"PK\x03\x04", &about[..], name.as_bytes(), content].concat());
        directory.extend([b"PK\x01\x02\x14\0", &about[..], &[0; 10], &place.to_le_bytes(), name.as_bytes()].concat());
    }
    let count = (files.len() as u16).to_le_bytes();
    let sizes = [directory.len() as u32, archive.len() as u32].map(u32::to_le_bytes).concat();
    [&archive[..], &directory, b"PK\x05\x06\0\0\0\0", &count, &count, &sizes, &[0; 2]].concat()
}

/// The checksum of ZIP (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |sum: u32, _| sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), bit))
}

/// The name of the package.
const PACKAGE: &[u8] = &[0xa0, 0x00, 0x00, 0x08, 0x04, 0x00, 0x01];

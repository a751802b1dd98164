//! Card readers on the USB bus, whether a driver is there for them, and whether pcscd may open them.
//!
//! Everything is read below a root folder, so that a test can make one.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::facts::UsbFact;

/// Who runs pcscd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Runner {
    /// Its user.
    pub(crate) uid: u32,
    /// Its groups.
    pub(crate) groups: Vec<u32>,
}

/// Returns the readers that are plugged in.
pub(crate) fn readers(root: &Path, runner: Option<&Runner>) -> Vec<UsbFact> {
    let Ok(entries) = fs::read_dir(root.join("sys/bus/usb/devices")) else { return Vec::new() };
    let drivers = drivers(root);
    let mut found: Vec<UsbFact> = Vec::new();
    let mut devices: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    devices.sort();
    for device in &devices {
        let (Some(vendor), Some(product)) = (word(device, "idVendor"), word(device, "idProduct")) else { continue };
        if !is_reader(device, &devices) && !OTHERS.iter().any(|(id, ..)| *id == vendor) {
            continue;
        }
        let package = OTHERS.iter().find(|(id, ..)| *id == vendor).map_or("libccid", |(_, package)| package);
        let id = format!("{vendor}:{product}");
        let name = [word(device, "manufacturer"), word(device, "product")].into_iter().flatten().collect::<Vec<_>>();
        let name = if name.is_empty() { "a card reader".to_owned() } else { name.join(" ") };
        let driver = drivers.iter().any(|known| *known == id || known == ANY);
        found.push(UsbFact {
            name,
            id,
            package,
            driver,
            open: runner.and_then(|runner| may_open(root, device, runner)),
        });
    }
    found
}

/// Whether one of its interfaces is of the class of card readers (CCID 1.1, 4.2).
fn is_reader(device: &Path, all: &[PathBuf]) -> bool {
    let Some(name) = device.file_name().and_then(|name| name.to_str()) else { return false };
    let interfaces = all.iter().filter(|path| {
        path.file_name()
            .and_then(|other| other.to_str())
            .is_some_and(|other| other.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))
    });
    interfaces.into_iter().any(|interface| word(interface, "bInterfaceClass").as_deref() == Some("0b"))
}

/// Returns the ids of the readers that the driver bundles of pcscd name, and [`ANY`] when one takes every CCID reader.
fn drivers(root: &Path) -> Vec<String> {
    let Ok(bundles) = fs::read_dir(root.join("usr/lib/pcsc/drivers")) else { return Vec::new() };
    let mut ids = Vec::new();
    for bundle in bundles.filter_map(Result::ok) {
        let Ok(list) = fs::read_to_string(bundle.path().join("Contents/Info.plist")) else { continue };
        let (vendors, products) = (strings(&list, "ifdVendorID"), strings(&list, "ifdProductID"));
        ids.extend(vendors.iter().zip(products).map(|(vendor, product)| format!("{vendor}:{product}")));
        if bundle.file_name() == "ifd-ccid.bundle" {
            // It also takes readers that only say that they are of its class.
            ids.push(ANY.to_owned());
        }
    }
    ids
}

/// Returns the hexadecimal numbers of an array in a property list, without their `0x`.
fn strings(list: &str, key: &str) -> Vec<String> {
    let Some((_, rest)) = list.split_once(&format!("<key>{key}</key>")) else { return Vec::new() };
    let Some((array, _)) = rest.split_once("</array>") else { return Vec::new() };
    let values = array.split("<string>").skip(1).filter_map(|value| value.split_once("</string>"));
    values.map(|(value, _)| value.trim().trim_start_matches("0x").to_lowercase()).collect()
}

/// Whether pcscd has the right to open a device, by its owner, group and mode. Access lists are not looked at.
fn may_open(root: &Path, device: &Path, runner: &Runner) -> Option<bool> {
    let number = |file: &str| word(device, file)?.parse::<u16>().ok();
    let node = root.join(format!("dev/bus/usb/{:03}/{:03}", number("busnum")?, number("devnum")?));
    let node = fs::metadata(node).ok()?;
    let mode = node.mode();
    let bits = if runner.uid == 0 {
        0o6
    } else if node.uid() == runner.uid {
        mode >> 6
    } else if runner.groups.contains(&node.gid()) {
        mode >> 3
    } else {
        mode
    };
    Some(bits & 0o6 == 0o6)
}

fn word(folder: &Path, file: &str) -> Option<String> {
    fs::read_to_string(folder.join(file)).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// A driver of every reader of the class.
const ANY: &str = "ccid";
/// Vendors whose readers have a driver of their own, and its package (ACS).
const OTHERS: [(&str, &str); 1] = [("072f", "libacsccid1")];

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn bus() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let device = |name: &str, vendor: &str, class: &str| {
            for (file, text) in [("idVendor", vendor), ("idProduct", "5678"), ("busnum", "1"), ("devnum", "4")] {
                write(root.path(), &format!("sys/bus/usb/devices/{name}/{file}"), &format!("{text}\n"));
            }
            write(root.path(), &format!("sys/bus/usb/devices/{name}:1.0/bInterfaceClass"), class);
        };
        device("1-1", "1234", "0b\n");
        device("1-10", "1234", "03\n");
        write(root.path(), "sys/bus/usb/devices/1-1/product", "Reader\n");
        root
    }

    #[test]
    fn readers_are_told_from_other_devices_by_their_class() {
        let root = bus();
        let found = readers(root.path(), None);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].id.as_str(), found[0].driver), ("Reader", "1234:5678", false));
        assert_eq!(readers(&root.path().join("nothing"), None), []);
    }

    #[test]
    fn a_driver_is_there_when_a_bundle_names_the_reader_or_takes_its_class() {
        let root = bus();
        let list = "<key>ifdVendorID</key><array><string>0x1234</string></array>\
                    <key>ifdProductID</key><array><string>0x567A</string></array>";
        write(root.path(), "usr/lib/pcsc/drivers/x.bundle/Contents/Info.plist", list);
        assert!(!readers(root.path(), None)[0].driver);
        write(root.path(), "usr/lib/pcsc/drivers/x.bundle/Contents/Info.plist", &list.replace("567A", "5678"));
        assert!(readers(root.path(), None)[0].driver);
        write(root.path(), "usr/lib/pcsc/drivers/x.bundle/Contents/Info.plist", "");
        write(root.path(), "usr/lib/pcsc/drivers/ifd-ccid.bundle/Contents/Info.plist", "");
        assert!(readers(root.path(), None)[0].driver);
    }

    #[test]
    fn the_rights_of_the_device_decide_for_a_pcscd_that_is_not_root() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = bus();
        let runner = |uid, groups: &[u32]| Runner { uid, groups: groups.to_vec() };
        let open = |runner: &Runner| readers(root.path(), Some(runner))[0].open;
        assert_eq!(open(&runner(0, &[])), None, "there is no device");
        write(root.path(), "dev/bus/usb/001/004", "");
        let node = root.path().join("dev/bus/usb/001/004");
        let group = fs::metadata(&node).unwrap().gid();
        fs::set_permissions(&node, fs::Permissions::from_mode(0o664)).unwrap();
        assert_eq!(open(&runner(0, &[])), Some(true));
        assert_eq!(open(&runner(54_321, &[group + 1])), Some(false));
        assert_eq!(open(&runner(54_321, &[group])), Some(true));
        fs::set_permissions(&node, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(open(&runner(54_321, &[])), Some(true));
    }
}

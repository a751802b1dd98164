//! Where a report is written: it appears whole or not at all, and takes the place of nothing that it is made of.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, IntoInnerError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use proto::rpc::Fault;
use proto::shell::{dice, file};
use rand_core::Rng as _;

use crate::error::CliError;

/// A file, by whatever name and over whatever links.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    /// One that is there: its device and inode.
    There(u64, u64),
    /// One that would be made: the device and inode of its folder, and its name there.
    New(u64, u64, OsString),
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        match path.metadata() {
            Ok(found) => Ok(Self::There(found.dev(), found.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = folder_of(path).metadata()?;
                Ok(Self::New(folder.dev(), folder.ino(), path.file_name().unwrap_or_default().to_owned()))
            }
            Err(error) => Err(error),
        }
    }
}

/// Checks that these places are files of their own: none is another's, and none is one that is read.
///
/// # Errors
/// [`Fault::BadInput`]; what the file system says of a place.
pub(super) fn check(places: &[&Path], read: &[PathBuf]) -> Result<(), CliError> {
    let refused = |path: &Path, why: String| CliError::found(Fault::BadInput, format!("{}: {why}", path.display()));
    // What is read may be missing, and then says so when it is read.
    let read: Vec<(&PathBuf, Identity)> =
        read.iter().filter_map(|path| Some((path, Identity::of(path).ok()?))).collect();
    let mut taken = Vec::new();
    for place in places {
        let identity = Identity::of(place).map_err(CliError::file(place))?;
        if let Some((other, _)) = read.iter().find(|(_, other)| *other == identity) {
            let why = format!("the report is made of {}, and would take its place; name another file", other.display());
            return Err(refused(place, why));
        }
        if taken.contains(&identity) {
            return Err(refused(place, "page and table would be one file; name two".to_owned()));
        }
        if place.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(refused(place, "it is no file that a report could replace; name another".to_owned()));
        }
        taken.push(identity);
    }
    Ok(())
}

/// Writes a file that appears whole or not at all.
///
/// # Errors
/// What `write` says; what the file system says of the place.
pub(super) fn whole(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), CliError>,
) -> Result<(), CliError> {
    // What a link leads to is replaced, and the link stays.
    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut random = [0; 8];
    dice().fill_bytes(&mut random);
    let temporary = folder_of(&place).join(format!(".cardinal-{}.new", hex::encode(random)));
    let file = File::create_new(&temporary).map_err(CliError::file(path))?;
    let written = fill(file, write, path).and_then(|()| {
        std::fs::rename(&temporary, &place).and_then(|()| file::sync_folder_of(&place)).map_err(CliError::file(path))
    });
    if written.is_err() {
        // What is half written is of no use.
        drop(std::fs::remove_file(&temporary));
    }
    written
}

fn fill(
    file: File,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), CliError>,
    path: &Path,
) -> Result<(), CliError> {
    let mut to = BufWriter::new(file);
    write(&mut to)?;
    let file = to.into_inner().map_err(IntoInnerError::into_error);
    file.and_then(|file| file.sync_all()).map_err(CliError::file(path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_place_is_refused_by_whatever_name_when_it_is_read_or_is_another_place() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("log"), "log").unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        std::fs::hard_link(at("log"), at("hard")).unwrap();
        symlink("log", at("soft")).unwrap();
        symlink(".", at("here")).unwrap();
        let read = [at("log"), at("log.head"), at("missing/x")];
        let fault = |places: &[PathBuf]| {
            let places: Vec<&Path> = places.iter().map(PathBuf::as_path).collect();
            check(&places, &read).err().and_then(|error| error.fault())
        };
        for place in
            ["log", "./log", "hard", "soft", "here/soft", "log.head", "here/log.head", "folder", "missing/page"]
        {
            assert_eq!(fault(&[at(place)]), Some(Fault::BadInput), "{place}");
        }
        assert_eq!(fault(&[PathBuf::from("/dev/null")]), Some(Fault::BadInput));
        assert_eq!(fault(&[at("page"), at("here/page")]), Some(Fault::BadInput));
        assert_eq!(fault(&[at("page"), at("table")]), None);
        std::fs::write(at("page"), "old").unwrap();
        assert_eq!(fault(&[at("page"), at("here/page")]), Some(Fault::BadInput));
        assert_eq!(fault(&[at("page")]), None);
    }

    #[test]
    fn a_file_is_replaced_whole_through_its_link_and_nothing_else_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("page"), "old").unwrap();
        std::fs::write(at("page.new"), "mine").unwrap();
        symlink("page", at("link")).unwrap();
        let say = |text: &'static str| {
            move |to: &mut BufWriter<File>| to.write_all(text.as_bytes()).map_err(CliError::file(Path::new("page")))
        };
        whole(&at("link"), say("new")).unwrap();
        let fails = |to: &mut BufWriter<File>| {
            say("half")(to)?;
            Err(CliError::Other("no".to_owned()))
        };
        assert!(whole(&at("page"), fails).is_err());
        let read = |name: &str| std::fs::read_to_string(at(name)).unwrap();
        assert_eq!((read("page").as_str(), read("page.new").as_str()), ("new", "mine"));
        assert!(at("link").is_symlink());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "no temporary file is left");
    }
}

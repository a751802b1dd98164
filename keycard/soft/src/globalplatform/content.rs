//! The commands that change and show what is on the card (GlobalPlatform Card Specification 2.1.1, chapter 9).
//!
//! ```text
//! DELETE      80 E4 00 00|80  4F len AID                        80: with what depends on it
//! INSTALL     80 E6 02 00     LV package || LV domain || LV hash || LV parameters || LV token
//! LOAD        80 E8 00|80 n   block                             80: the last one
//! INSTALL     80 E6 0C 00     LV package || LV applet || LV instance || LV privileges || LV parameters || LV token
//! GET STATUS  80 F2 80|40|20|10 00|02   4F len AID              domain, applets, packages, packages with their applets
//! PUT KEY     80 D8 version 81   version || 3 x { 80 10 key(16) 03 check value(3) }
//! ```

use proto::Secret;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::applet;
use super::des::DoubleKey;
use super::domain::{AppletName, PackageName, check_value};
use super::load_file::{Loading, prefixed};
use crate::apdu::{Answer, Command};
use crate::memory::Memory;
use crate::model::Model;
use crate::status::StatusWord;

pub(super) const DELETE: u8 = 0xe4;
pub(super) const INSTALL: u8 = 0xe6;
pub(super) const LOAD: u8 = 0xe8;
pub(super) const GET_STATUS: u8 = 0xf2;
pub(super) const PUT_KEY: u8 = 0xd8;
/// P1 of INSTALL that announces a load file.
pub(super) const FOR_LOAD: u8 = 0x02;
/// P1 of INSTALL that makes an instance and lets everybody select it.
const FOR_INSTALL_AND_SELECTION: u8 = 0x0c;

/// Returns the answer to an order that was carried out: there is no receipt.
pub(super) fn confirmed() -> Answer {
    Ok(Zeroizing::new(vec![0x00]))
}

/// Deletes a package or an instance, with all that it holds.
pub(super) fn delete(memory: &mut Memory, command: &Command<'_>, rng: &mut dyn CryptoRng) -> Answer {
    let with_dependents = match (command.p1, command.p2) {
        (0x00, 0x00) => false,
        (0x00, 0x80) => true,
        _ => return Err(StatusWord::WRONG_P1_P2),
    };
    let aid = command.data.strip_prefix(&[0x4f]).and_then(prefixed).ok_or(StatusWord::WRONG_DATA)?.0;
    let instance = AppletName::ALL.into_iter().find(|applet| applet.instance() == aid);
    let domain = memory.domain();
    if let Some(package) = PackageName::of(aid).and_then(|name| domain.package(name)) {
        let name = package.name;
        let instances = package.instances.clone();
        let is_built_upon = domain.packages.iter().any(|other| other.imports.contains(&name));
        if is_built_upon || (!with_dependents && !instances.is_empty()) {
            return Err(StatusWord::CONDITIONS);
        }
        memory.commit(|state| {
            instances.iter().for_each(|instance| applet::forget(state, *instance, rng));
            state.domain.packages.retain(|package| package.name != name);
        })?;
    } else if let Some(instance) = instance.filter(|instance| domain.instances().any(|it| it == *instance)) {
        memory.commit(|state| {
            applet::forget(state, instance, rng);
            state.domain.packages.iter_mut().for_each(|package| package.instances.retain(|it| *it != instance));
        })?;
    } else {
        return Err(StatusWord::NOT_REFERENCED);
    }
    confirmed()
}

/// Makes ready for a load file.
pub(super) fn announce(memory: &Memory, command: &Command<'_>) -> Result<Loading, StatusWord> {
    let [package, _domain, _hash, _parameters, _token] = fields(command)?;
    // The card knows what two packages do, and has no room for others.
    let name = PackageName::of(package).ok_or(StatusWord::FULL)?;
    if memory.domain().package(name).is_some() { Err(StatusWord::WRONG_DATA) } else { Ok(Loading::of(name)) }
}

/// Takes a block of a load file; after the last one the package is there.
pub(super) fn load(
    memory: &mut Memory,
    command: &Command<'_>,
    mut loading: Loading,
) -> Result<Option<Loading>, StatusWord> {
    if command.p1 & !LAST != 0 || !loading.take(command.p2, command.data) {
        return Err(StatusWord::WRONG_P1_P2);
    }
    if command.p1 != LAST {
        return Ok(Some(loading));
    }
    let mut package = loading.package(memory.model()).ok_or(StatusWord::WRONG_DATA)?;
    if memory.model() == Model::V4_0 && package.name == PackageName::Keycard {
        // Applet 4.0 cannot do without, whatever the file says.
        package.imports = vec![PackageName::Math];
    }
    if !package.imports.iter().all(|import| memory.domain().package(*import).is_some()) {
        return Err(StatusWord::CONDITIONS);
    }
    memory.commit(|state| state.domain.packages.push(package))?;
    Ok(None)
}

/// Makes an instance of an applet.
pub(super) fn install(memory: &mut Memory, command: &Command<'_>, rng: &mut dyn CryptoRng) -> Answer {
    if (command.p1, command.p2) != (FOR_INSTALL_AND_SELECTION, 0x00) {
        return Err(StatusWord::WRONG_P1_P2);
    }
    let [package, applet, instance, privileges, parameters, _token] = fields(command)?;
    let name = PackageName::of(package).ok_or(StatusWord::NOT_REFERENCED)?;
    let package = memory.domain().package(name).ok_or(StatusWord::NOT_REFERENCED)?;
    let applet = package.applets.iter().copied().find(|it| it.class() == applet).ok_or(StatusWord::NOT_REFERENCED)?;
    // The card models the instances that everybody selects.
    if applet.instance() != instance || package.instances.contains(&applet) || privileges.len() != 1 {
        return Err(StatusWord::WRONG_DATA);
    }
    memory.commit(|state| {
        applet::install(state, applet, parameters, rng);
        if let Some(package) = state.domain.packages.iter_mut().find(|package| package.name == name) {
            package.instances.push(applet);
        }
    })?;
    confirmed()
}

/// Lists what is on the card.
pub(super) fn status(memory: &Memory, command: &Command<'_>) -> Answer {
    let tagged = match command.p2 {
        0x00 => false,
        0x02 => true,
        _ => return Err(StatusWord::WRONG_P1_P2),
    };
    let (wanted, _) = command.data.strip_prefix(&[0x4f]).and_then(prefixed).ok_or(StatusWord::WRONG_DATA)?;
    let domain = memory.domain();
    let packages = || domain.packages.iter();
    let modules = command.p1 == 0x10;
    let entries: Vec<Entry> = match command.p1 {
        0x80 => vec![Entry { aid: super::INSTANCE, life_cycle: 0x01, privileges: 0x9e, modules: Vec::new() }],
        0x40 => domain.instances().map(|applet| Entry::of(applet.instance(), 0x07)).collect(),
        0x20 => packages().map(|package| Entry::of(package.name.aid(), 0x01)).collect(),
        0x10 => packages()
            .map(|package| Entry {
                modules: package.applets.iter().map(|applet| applet.class()).collect(),
                ..Entry::of(package.name.aid(), 0x01)
            })
            .collect(),
        _ => return Err(StatusWord::WRONG_P1_P2),
    };
    let mut answer = Zeroizing::new(Vec::new());
    for entry in entries.iter().filter(|entry| entry.aid.starts_with(wanted)) {
        if tagged {
            let mut body = [&[0x4f], lv(entry.aid).as_slice(), &[0x9f, 0x70, 0x01, entry.life_cycle]].concat();
            body.extend([0xc5, 0x01, entry.privileges]);
            entry.modules.iter().for_each(|module| body.extend([&[0x84], lv(module).as_slice()].concat()));
            answer.push(0xe3);
            answer.extend(lv(&body));
        } else {
            answer.extend(lv(entry.aid));
            answer.extend([entry.life_cycle, entry.privileges]);
            if modules {
                answer.push(u8::try_from(entry.modules.len()).unwrap_or(u8::MAX));
                entry.modules.iter().for_each(|module| answer.extend(lv(module)));
            }
        }
    }
    if answer.is_empty() { Err(StatusWord::NOT_REFERENCED) } else { Ok(answer) }
}

/// What GET STATUS says of one thing.
struct Entry {
    aid: &'static [u8],
    life_cycle: u8,
    privileges: u8,
    modules: Vec<&'static [u8]>,
}

impl Entry {
    fn of(aid: &'static [u8], life_cycle: u8) -> Self {
        Self { aid, life_cycle, privileges: 0x00, modules: Vec::new() }
    }
}

/// Replaces the three keys of the security domain.
pub(super) fn put_key(memory: &mut Memory, command: &Command<'_>, data_key: Option<DoubleKey>) -> Answer {
    let data_key = data_key.ok_or(StatusWord::SECURITY_STATUS)?;
    if ![0, memory.domain().key_version].contains(&command.p1) || command.p2 != FIRST_OF_SEVERAL {
        return Err(StatusWord::WRONG_P1_P2);
    }
    let (version, keys) = command.data.split_first().ok_or(StatusWord::WRONG_DATA)?;
    let (keys, []) = keys.as_chunks::<KEY_FIELD>() else { return Err(StatusWord::WRONG_DATA) };
    let [encryption, mac, data] = keys else { return Err(StatusWord::WRONG_DATA) };
    let read = |field| key(&data_key, field).ok_or(StatusWord::WRONG_DATA);
    let (encryption, mac, data) = (read(encryption)?, read(mac)?, read(data)?);
    let checks = [&encryption, &mac, &data].map(check_value).concat();
    memory.commit(|state| {
        let domain = &mut state.domain;
        (domain.key_version, domain.encryption, domain.mac, domain.data) = (*version, encryption, mac, data);
    })?;
    Ok(Zeroizing::new([&[*version], checks.as_slice()].concat()))
}

/// Reads `80 10 key(16) 03 check value(3)`.
fn key(data_key: &DoubleKey, field: &[u8; KEY_FIELD]) -> Option<Secret<16>> {
    let ([0x80, 0x10], rest) = field.split_first_chunk()? else { return None };
    let (encrypted, rest) = rest.split_first_chunk::<16>()?;
    let ([0x03], check) = rest.split_first_chunk()? else { return None };
    let (blocks, _) = encrypted.as_chunks();
    let key = Secret::fill(|room| {
        for (to, from) in room.as_chunks_mut().0.iter_mut().zip(blocks) {
            *to = data_key.decrypt(*from);
        }
    });
    (check_value(&key) == check).then_some(key)
}

/// Splits the data of INSTALL into fields of one length byte each.
fn fields<'a, const N: usize>(command: &Command<'a>) -> Result<[&'a [u8]; N], StatusWord> {
    let mut rest = command.data;
    let mut fields = [&[][..]; N];
    for field in &mut fields {
        (*field, rest) = prefixed(rest).ok_or(StatusWord::WRONG_DATA)?;
    }
    if rest.is_empty() { Ok(fields) } else { Err(StatusWord::WRONG_DATA) }
}

fn lv(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap_or(u8::MAX)], bytes].concat()
}

/// P1 of LOAD with the last block.
const LAST: u8 = 0x80;
/// P2 of PUT KEY: key 1 and those behind it.
const FIRST_OF_SEVERAL: u8 = 0x81;
const KEY_FIELD: usize = 22;

//! Addresses of other services that this server asks.

use url::Url;

use super::Mode;
use super::reader::Reader;
use crate::outbound::{is_here, is_near};

/// The service that a variable names, or its default, if it `fits`.
pub(super) fn given_service(reader: &mut Reader, name: &str, mode: Mode, fits: impl Fn(&Url) -> bool) -> Option<Url> {
    given(reader, name, |text| service_url(text, mode).filter(&fits))
}

/// The service that a variable names to which this server sends what is signed: what comes from there counts for little, so within this
/// network it need not be encrypted.
pub(super) fn given_receiver(reader: &mut Reader, name: &str, mode: Mode) -> Option<Url> {
    given(reader, name, |text| safe_url(text, mode, is_near))
}

fn given(reader: &mut Reader, name: &str, parse: impl Fn(&str) -> Option<Url>) -> Option<Url> {
    if reader.text(name).is_some_and(|text| may_name_somebody(&text)) {
        reader.conflict(name, "names a user or a password, which have no place in an address that is shown");
        return None;
    }
    reader.parsed(name, |text, _| parse(text))
}

/// Whether there may be a user or a password in an address. Where they would be in what is no address, nobody can tell.
pub(super) fn may_name_somebody(text: &str) -> bool {
    match Url::parse(text) {
        Ok(url) if url.has_host() => !url.username().is_empty() || url.password().is_some(),
        Ok(_) | Err(_) => text.contains('@'),
    }
}

/// Where a service is. Whoever can change what comes from there on its way, or read what goes there, has its rights: so it is encrypted,
/// or stays within this machine, or this is development. User and password have no place in a URL that is shown.
pub(super) fn service_url(text: &str, mode: Mode) -> Option<Url> {
    safe_url(text, mode, is_here)
}

/// An address to which the way is encrypted, or where it is safe without that.
fn safe_url(text: &str, mode: Mode, is_safe_there: impl Fn(&Url) -> bool) -> Option<Url> {
    let url = Url::parse(text).ok().filter(Url::has_host)?;
    let is_safe = match url.scheme() {
        "https" => true,
        "http" => is_safe_there(&url) || mode == Mode::Development,
        _ => false,
    };
    let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    (is_safe && is_plain).then_some(url)
}

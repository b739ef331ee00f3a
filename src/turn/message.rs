//! The few messages of STUN (RFC 8489) and TURN (RFC 8656) that it takes to have a relay and to give it back.

use std::net::SocketAddr;

use stun_types::attribute::{
    AttributeType, ErrorCode, Nonce, RawAttribute, Realm, Username, XorMappedAddress, XorSocketAddr,
};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageWriteVec, Method,
    StunWriteError, TransactionId,
};
use stun_types::prelude::{MessageWrite, MessageWriteExt};

/// RFC 8656, sections 17 and 18.
const ALLOCATE: u16 = 0x003;
const REFRESH: u16 = 0x004;
const LIFETIME: u16 = 0x00d;
const XOR_RELAYED_ADDRESS: u16 = 0x016;
const REQUESTED_TRANSPORT: u16 = 0x019;
/// UDP, as IP numbers it.
const UDP: [u8; 4] = [17, 0, 0, 0];

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Where do you see me?
    Binding,
    /// A relay.
    Allocate,
    /// Take it back.
    Release,
}

/// Who asks, once the server has said what it wants to see. Not `Debug`: it holds a credential.
pub(super) struct Signed {
    credentials: LongTermKeyCredentials,
    nonce: String,
}

impl Signed {
    /// What `challenge` asks of a user; `None` where it asks for nothing.
    pub(super) fn new((username, credential): &(String, String), challenge: &Answer) -> Option<Self> {
        let realm = challenge.realm.clone()?;
        let credentials = LongTermKeyCredentials::new(username.clone(), credential.clone(), realm);
        Some(Self { credentials, nonce: challenge.nonce.clone()? })
    }
}

/// A request, and the name by which its answer is known.
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
    id: TransactionId,
}

impl Request {
    /// `None` for a user name that is too long for the wire, or a realm or nonce.
    pub(super) fn new(ask: Ask, signed: Option<&Signed>) -> Option<Self> {
        let id = TransactionId::generate();
        Some(Self { bytes: written(ask, signed, id).ok()?, id })
    }

    /// The answer that `bytes` hold, if it is one to this request.
    pub(super) fn answer(&self, bytes: &[u8]) -> Option<Answer> {
        let message = Message::from_bytes(bytes).ok()?;
        if !message.is_response() || message.transaction_id() != self.id {
            return None;
        }
        let relayed = message.raw_attribute(AttributeType::new(XOR_RELAYED_ADDRESS));
        Some(Answer {
            is_success: message.has_class(MessageClass::Success),
            code: message.attribute::<ErrorCode>().ok().map(|error| error.code()),
            realm: message.attribute::<Realm>().ok().map(|realm| realm.realm().to_owned()),
            nonce: message.attribute::<Nonce>().ok().map(|nonce| nonce.nonce().to_owned()),
            mapped: message.attribute::<XorMappedAddress>().ok().map(|address| address.addr(self.id)),
            relayed: relayed.and_then(|raw| Some(XorSocketAddr::from_raw(&raw).ok()?.addr(self.id))),
        })
    }
}

fn written(ask: Ask, signed: Option<&Signed>, id: TransactionId) -> Result<Vec<u8>, StunWriteError> {
    let method = match ask {
        Ask::Binding => BINDING,
        Ask::Allocate => Method::new(ALLOCATE),
        Ask::Release => Method::new(REFRESH),
    };
    let kind = stun_types::message::MessageType::from_class_method(MessageClass::Request, method);
    let mut message = Message::builder(kind, id, MessageWriteVec::new());
    match ask {
        Ask::Binding => {}
        Ask::Allocate => message.add_attribute(&RawAttribute::new(AttributeType::new(REQUESTED_TRANSPORT), &UDP))?,
        Ask::Release => message.add_attribute(&RawAttribute::new(AttributeType::new(LIFETIME), &[0; 4]))?,
    }
    if let Some(Signed { credentials, nonce }) = signed {
        message.add_attribute(&Username::new(credentials.username())?)?;
        message.add_attribute(&Realm::new(credentials.realm())?)?;
        message.add_attribute(&Nonce::new(nonce)?)?;
        message.add_message_integrity(&credentials.clone().into(), IntegrityAlgorithm::Sha1)?;
    }
    message.add_fingerprint()?;
    Ok(message.finish())
}

/// What a server answers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) is_success: bool,
    /// Of an error.
    pub(super) code: Option<u16>,
    pub(super) realm: Option<String>,
    pub(super) nonce: Option<String>,
    /// Where the server sees who asks.
    pub(super) mapped: Option<SocketAddr>,
    /// The relay.
    pub(super) relayed: Option<SocketAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_request_is_one_of_the_user_in_the_realm() {
        let challenge = Answer {
            code: Some(401),
            realm: Some("example.org".into()),
            nonce: Some("f//499k954d6OL34oL9FSTvy64sA".into()),
            ..Answer::default()
        };
        let signed = Signed::new(&("1700086400:doctor".into(), "secret".into()), &challenge).unwrap();
        let request = Request::new(Ask::Allocate, Some(&signed)).unwrap();
        let message = Message::from_bytes(&request.bytes).unwrap();
        assert!(message.validate_integrity(&signed.credentials.clone().into()).is_ok());
        let other = LongTermKeyCredentials::new("1700086400:doctor".into(), "other".into(), "example.org".into());
        assert!(message.validate_integrity(&other.into()).is_err());
        assert_eq!(message.method().value(), ALLOCATE);
    }

    #[test]
    fn only_the_answer_to_this_request_is_one() {
        let request = Request::new(Ask::Allocate, None).unwrap();
        let asked = Message::from_bytes(&request.bytes).unwrap();
        let mut refusal = Message::builder_error(&asked, MessageWriteVec::new());
        refusal.add_attribute(&ErrorCode::new(401, "Unauthorized").unwrap()).unwrap();
        refusal.add_attribute(&Realm::new("r").unwrap()).unwrap();
        refusal.add_attribute(&Nonce::new("n").unwrap()).unwrap();
        let refusal = refusal.finish();
        let answer = request.answer(&refusal).unwrap();
        assert_eq!((answer.is_success, answer.code, answer.realm.as_deref()), (false, Some(401), Some("r")));
        assert_eq!(Request::new(Ask::Allocate, None).unwrap().answer(&refusal), None);
        assert_eq!(request.answer(&request.bytes), None, "an echo is no answer");
        assert_eq!(request.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), None);
    }

    #[test]
    fn a_relay_is_read() {
        let request = Request::new(Ask::Allocate, None).unwrap();
        let asked = Message::from_bytes(&request.bytes).unwrap();
        let relay: SocketAddr = "203.0.113.7:50000".parse().unwrap();
        let address = XorSocketAddr::new(relay, asked.transaction_id());
        let mut grant = Message::builder_success(&asked, MessageWriteVec::new());
        grant.add_attribute(&address.to_raw(AttributeType::new(XOR_RELAYED_ADDRESS))).unwrap();
        let answer = request.answer(&grant.finish()).unwrap();
        assert_eq!((answer.is_success, answer.relayed), (true, Some(relay)));
    }
}

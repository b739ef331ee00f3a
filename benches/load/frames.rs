//! What one pair sends, rendered once: a frame is what stands before the call id, the id, and what stands behind it.

use serde_json::json;

/// Sizes of the descriptions as JSON text, as an ordinary audio and video call has them.
const OFFER_BYTES: usize = 3_000;
const ANSWER_BYTES: usize = 2_500;

/// Acknowledgement ids. Each socket has at most one such request under way.
pub(crate) const INITIATE: &str = "1";
pub(crate) const ACCEPT: &str = "2";
pub(crate) const END: &str = "3";

/// The candidate's number stands where its foundation is.
const CANDIDATE: &str = "candidate:";
const CANDIDATE_REST: &str =
    " 1 udp 2122260223 192.168.1.23 54321 typ host generation 0 ufrag Q8x2 network-id 1 network-cost 10";

pub(crate) struct Frame {
    head: String,
    tail: String,
}

impl Frame {
    fn new(prefix: &str, event: &str, tail: String) -> Self {
        Self { head: format!("42{prefix}[\"{event}\",{{\"callId\":\""), tail }
    }

    pub(crate) fn of(&self, call_id: &str) -> String {
        [&self.head, call_id, &self.tail].concat()
    }
}

/// What one side of a pair sends to the other.
pub(crate) struct Candidates {
    head: String,
    middle: String,
    tail: String,
}

impl Candidates {
    fn to(user: &str) -> Self {
        Self {
            head: "42[\"ice_candidate\",{\"callId\":\"".to_owned(),
            middle: format!("\",\"to\":\"{user}\",\"candidate\":{{\"candidate\":\"{CANDIDATE}"),
            tail: format!("{CANDIDATE_REST}\",\"sdpMid\":\"0\",\"sdpMLineIndex\":0,\"usernameFragment\":\"Q8x2\"}}}}]"),
        }
    }

    pub(crate) fn of(&self, call_id: &str, number: usize) -> String {
        [self.head.as_str(), call_id, &self.middle, &number.to_string(), &self.tail].concat()
    }

    /// The number of a relayed candidate.
    pub(crate) fn number(body: &str) -> Option<usize> {
        let (_, rest) = body.split_once(CANDIDATE)?;
        rest.split_once(' ')?.0.parse().ok()
    }
}

pub(crate) struct Frames {
    pub(crate) initiate: String,
    pub(crate) accept: Frame,
    pub(crate) offer: Frame,
    pub(crate) answer: Frame,
    pub(crate) end: Frame,
    pub(crate) from_caller: Candidates,
    pub(crate) from_callee: Candidates,
}

impl Frames {
    pub(crate) fn between(caller: &str, callee: &str) -> Self {
        let call = json!(["call_initiate", { "calleeId": callee, "callType": "video", "callerName": "Ada Lovelace", "callerAvatar": null }]);
        let described = |to: &str, kind, bytes| format!("\",\"to\":\"{to}\",\"sdp\":{}}}]", description(kind, bytes));
        Self {
            initiate: format!("42{INITIATE}{call}"),
            accept: Frame::new(ACCEPT, "call_accept", "\"}]".to_owned()),
            offer: Frame::new("", "sdp_offer", described(callee, "offer", OFFER_BYTES)),
            answer: Frame::new("", "sdp_answer", described(caller, "answer", ANSWER_BYTES)),
            end: Frame::new(END, "call_end", "\",\"reason\":\"ended\"}]".to_owned()),
            from_caller: Candidates::to(callee),
            from_callee: Candidates::to(caller),
        }
    }
}

/// A description of a given size: the lines a browser writes, as many codecs as it takes.
fn description(kind: &str, bytes: usize) -> String {
    let mut sdp =
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"
            .to_owned();
    let render = |sdp: &str| json!({ "type": kind, "sdp": sdp }).to_string();
    for payload_type in 96.. {
        let line =
            format!("a=fmtp:{payload_type} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n");
        if render(&sdp).len() + line.len() + 2 > bytes {
            break;
        }
        sdp.push_str(&line);
    }
    render(&sdp)
}

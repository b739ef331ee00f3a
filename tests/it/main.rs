//! The server as its users meet it: the real binary, the stock client and a real browser.

mod browser;
mod node;
mod support;

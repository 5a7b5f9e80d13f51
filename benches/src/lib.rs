//! Nothing: this package exists for its benches (`cargo bench -p benches`).
//!
//! | bench | measures | floor in the same run |
//! | --- | --- | --- |
//! | `hmac` | one OTP value from kept states | the same with a key schedule each time |
//! | `matching` | a typed value against a window of three steps | three values without comparing |
//! | `timing` | whether the time of a refusal tells anything (exits with 1 if so) | no difference |
//! | `json` | reading a request, writing a reply | scanning and copying the same bytes |
//!
//! Engine, index, commit and sweep follow with the parts they measure.

#![forbid(unsafe_code)]

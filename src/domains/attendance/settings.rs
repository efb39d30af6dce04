//! Attendance's settings, as inert data.

use serde::{Deserialize, Serialize};

/// Settings under `[attendance]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttendanceSettings {
    /// How long a pass lives, seconds. Default 30.
    pub pass_seconds: u64,
    /// A PEM file (PKCS#8, RSA of 2,048 bits or more) whose key signs passes in place of the box's own;
    /// read at the start, kept sealed. `JWT_PRIVATE_KEY_PATH` names it too. Default: none.
    pub pass_key_file: String,
    /// Devices that one person may have at a time. Default 5.
    pub devices_per_person: usize,
    /// After how many hours without a clock-out a day of work no longer counts as going on: the next
    /// punch is a coming, and the forgotten going is proposed. Default 14.
    pub open_hours: u64,
    /// Two people who alternate at one kiosk within so many seconds are remarked. Default 3.
    pub quick_seconds: u64,
    /// How far a kiosk's clock may be off before its punches are remarked, seconds. Default 120.
    pub kiosk_clock_seconds: u64,
    /// After how many seconds without a word a kiosk counts as offline. Default 300.
    pub online_seconds: u64,
    /// After how many seconds a kiosk's page returns to its beginning. Default 4.
    pub return_seconds: u64,
    /// How long a pairing code is good, minutes. Default 15.
    pub pairing_minutes: u64,
    /// The shortest personal code. Default 4.
    pub pin_min: usize,
    /// How long a code of the personnel office is good when it does not say, days. Default 7.
    pub hr_code_days: u64,
    /// The address that set-up codes name; empty for the one they are asked at. `API_URL` names it too.
    pub api_url: String,
    /// Whether who asks for a correction of somebody else's punches may approve it too. Default true.
    pub self_approval: bool,
}

impl Default for AttendanceSettings {
    fn default() -> Self {
        Self {
            pass_seconds: 30,
            pass_key_file: String::new(),
            devices_per_person: 5,
            open_hours: 14,
            quick_seconds: 3,
            kiosk_clock_seconds: 120,
            online_seconds: 300,
            return_seconds: 4,
            pairing_minutes: 15,
            pin_min: 4,
            hr_code_days: 7,
            api_url: String::new(),
            self_approval: true,
        }
    }
}

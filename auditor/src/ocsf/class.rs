//! The schema's classes, activities and severities that we use, with their captions.

use crate::event::Severity;

/// A class of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub uid: u32,
    pub name: &'static str,
    pub category: Category,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Category {
    pub uid: u32,
    pub name: &'static str,
}

const SYSTEM: Category = Category {
    uid: 1,
    name: "System Activity",
};
const APPLICATION: Category = Category {
    uid: 6,
    name: "Application Activity",
};

pub(super) const BASE: Class = Class {
    uid: 0,
    name: "Base Event",
    category: Category {
        uid: 0,
        name: "Uncategorized",
    },
};
pub(super) const FILE: Class = Class {
    uid: 1001,
    name: "File System Activity",
    category: SYSTEM,
};
pub(super) const PROCESS: Class = Class {
    uid: 1007,
    name: "Process Activity",
    category: SYSTEM,
};
pub(super) const DETECTION: Class = Class {
    uid: 2004,
    name: "Detection Finding",
    category: Category {
        uid: 2,
        name: "Findings",
    },
};
pub(super) const NETWORK: Class = Class {
    uid: 4001,
    name: "Network Activity",
    category: Category {
        uid: 4,
        name: "Network Activity",
    },
};
pub(super) const LIFECYCLE: Class = Class {
    uid: 6002,
    name: "Application Lifecycle",
    category: APPLICATION,
};
pub(super) const ERROR: Class = Class {
    uid: 6008,
    name: "Application Error",
    category: APPLICATION,
};

/// `activity_id` with its caption: what was done, within its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doing {
    pub class: Class,
    pub id: u32,
    pub name: &'static str,
}

const fn doing(class: Class, id: u32, name: &'static str) -> Doing {
    Doing { class, id, name }
}

/// 99 stands for what the schema has no number for; the name is ours then.
pub(super) const fn other(class: Class, name: &'static str) -> Doing {
    doing(class, 99, name)
}

pub(super) const FILE_OPEN: Doing = doing(FILE, 14, "Open");
pub(super) const PROCESS_OPEN: Doing = doing(PROCESS, 3, "Open");
pub(super) const FINDING_CREATE: Doing = doing(DETECTION, 1, "Create");
pub(super) const FINDING_CLOSE: Doing = doing(DETECTION, 3, "Close");
pub(super) const NETWORK_OPEN: Doing = doing(NETWORK, 1, "Open");
pub(super) const NETWORK_CLOSE: Doing = doing(NETWORK, 2, "Close");
pub(super) const NETWORK_FAIL: Doing = doing(NETWORK, 4, "Fail");
pub(super) const NETWORK_REFUSE: Doing = doing(NETWORK, 5, "Refuse");
pub(super) const NETWORK_LISTEN: Doing = doing(NETWORK, 7, "Listen");
pub(super) const START: Doing = doing(LIFECYCLE, 3, "Start");
pub(super) const STOP: Doing = doing(LIFECYCLE, 4, "Stop");
pub(super) const GENERAL_ERROR: Doing = doing(ERROR, 1, "General Error");

/// `severity_id` with its caption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level(pub u32, pub &'static str);

pub(super) const INFORMATIONAL: Level = Level(1, "Informational");
pub(super) const LOW: Level = Level(2, "Low");
pub(super) const MEDIUM: Level = Level(3, "Medium");
pub(super) const HIGH: Level = Level(4, "High");
pub(super) const CRITICAL: Level = Level(5, "Critical");

impl From<Severity> for Level {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => INFORMATIONAL,
            Severity::Medium => MEDIUM,
            Severity::High => HIGH,
            Severity::Critical => CRITICAL,
        }
    }
}

/// `status_id` of an activity, with its caption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(pub u32, pub &'static str);

pub(super) const UNKNOWN: Status = Status(0, "Unknown");
pub(super) const SUCCESS: Status = Status(1, "Success");
pub(super) const FAILURE: Status = Status(2, "Failure");

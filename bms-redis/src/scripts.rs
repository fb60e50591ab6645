//! The scripts of the hold store, one a file in `lua/`.

use std::sync::LazyLock;

use crate::script::Script;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = [$($file:literal),+];)+) => {
        $($(#[$doc])* pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!(concat!("../lua/", $file, ".lua")), "\n"),+)));)+
    };
}

scripts! {
    PLACE = ["show", "place"];
    GET = ["get"];
    RELEASE = ["show", "release"];
    BEGIN_CHECKOUT = ["show", "begin_checkout"];
    END_CHECKOUT = ["show", "end_checkout"];
    MARK_SOLD = ["show", "sales", "mark_sold"];
    MARK_FREE = ["show", "sales", "mark_free"];
    RESTORE = ["show", "sales", "restore"];
    OCCUPANCY = ["show", "occupancy"];
    COUNTS = ["show", "counts"];
    CHANGES = ["show", "changes"];
    DUE = ["due"];
    SWEEP = ["show", "sweep"];
}

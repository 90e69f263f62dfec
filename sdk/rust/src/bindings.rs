//! Generated from `wit/`: the imports once, and each export on top of them.

wit_bindgen::generate!({ path: "wit", world: "granted", generate_unused_types: true });

macro_rules! export {
    ($module:ident, $package:literal, $world:literal, $macro:literal, $path:literal $(, $other:literal: $shared:path)?) => {
        #[doc(hidden)]
        #[allow(missing_docs)]
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit",
                inline: $package,
                world: $world,
                pub_export_macro: true,
                export_macro_name: $macro,
                default_bindings_module: $path,
                with: {
                    "osiris:driver/errors@0.2.0": crate::bindings::osiris::driver::errors,
                    "osiris:driver/context@0.2.0": crate::bindings::osiris::driver::context,
                    "osiris:driver/secrets@0.2.0": crate::bindings::osiris::driver::secrets,
                    "osiris:driver/arrow@0.2.0": crate::bindings::osiris::driver::arrow,
                    "osiris:driver/tables@0.2.0": crate::bindings::osiris::driver::tables,
                    "osiris:driver/sql@0.2.0": crate::bindings::osiris::driver::sql,
                    "osiris:driver/files@0.2.0": crate::bindings::osiris::driver::files,
                    $($other: $shared,)?
                },
            });
        }
    };
}

export!(
    extract,
    "package osiris:sdk; world exports-extract { include osiris:driver/imports@0.2.0; export osiris:driver/extract@0.2.0; }",
    "osiris:sdk/exports-extract",
    "export_extract",
    "osiris_sdk::bindings::extract"
);
export!(
    transform,
    "package osiris:sdk; world exports-transform { include osiris:driver/imports@0.2.0; export osiris:driver/transform@0.2.0; }",
    "osiris:sdk/exports-transform",
    "export_transform",
    "osiris_sdk::bindings::transform"
);
export!(
    load,
    "package osiris:sdk; world exports-load { include osiris:driver/imports@0.2.0; export osiris:driver/load@0.2.0; }",
    "osiris:sdk/exports-load",
    "export_load",
    "osiris_sdk::bindings::load"
);
export!(
    discover,
    "package osiris:sdk; world exports-discover { include osiris:driver/imports@0.2.0; export osiris:driver/discover@0.2.0; }",
    "osiris:sdk/exports-discover",
    "export_discover",
    "osiris_sdk::bindings::discover",
    "osiris:driver/catalog@0.2.0": crate::bindings::osiris::driver::catalog
);
export!(
    check,
    "package osiris:sdk; world exports-check { include osiris:driver/imports@0.2.0; export osiris:driver/check@0.2.0; }",
    "osiris:sdk/exports-check",
    "export_check",
    "osiris_sdk::bindings::check"
);

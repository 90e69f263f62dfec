//! Generated from `wit/`: the imports once, and the export of each kind and of each optional function on top of them.

wit_bindgen::generate!({ path: "../../wit", world: "granted" });

macro_rules! kind {
    ($module:ident, $world:literal, $macro:literal, $path:literal $(, $interface:literal: $shared:path)?) => {
        #[doc(hidden)]
        #[allow(missing_docs)]
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                world: $world,
                pub_export_macro: true,
                export_macro_name: $macro,
                default_bindings_module: $path,
                with: {
                    "osiris:driver/errors@0.1.0": crate::bindings::osiris::driver::errors,
                    "osiris:driver/context@0.1.0": crate::bindings::osiris::driver::context,
                    "osiris:driver/secrets@0.1.0": crate::bindings::osiris::driver::secrets,
                    "osiris:driver/arrow@0.1.0": crate::bindings::osiris::driver::arrow,
                    "osiris:driver/tables@0.1.0": crate::bindings::osiris::driver::tables,
                    "osiris:driver/sql@0.1.0": crate::bindings::osiris::driver::sql,
                    "osiris:driver/files@0.1.0": crate::bindings::osiris::driver::files,
                    $($interface: $shared,)?
                },
            });
        }
    };
}

kind!(extractor, "extractor", "export_extractor", "osiris_sdk::bindings::extractor");
kind!(processor, "processor", "export_processor", "osiris_sdk::bindings::processor");
kind!(writer, "writer", "export_writer", "osiris_sdk::bindings::writer");
kind!(
    discovery,
    "discovery",
    "export_discovery",
    "osiris_sdk::bindings::discovery",
    "osiris:driver/catalog@0.1.0": crate::bindings::osiris::driver::catalog
);
kind!(check, "check", "export_check", "osiris_sdk::bindings::check");

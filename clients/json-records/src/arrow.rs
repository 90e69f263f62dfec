//! Finished columns in the layout of Arrow, as `osiris:driver/arrow` has it.

/// One field; see `osiris:driver/arrow.field`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub format: String,
    pub nullable: bool,
    pub children: u32,
    pub metadata: Vec<(String, String)>,
}

/// The values of one field; see `osiris:driver/arrow.node`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub length: u32,
    pub buffers: Vec<Vec<u8>>,
}

#[cfg(feature = "driver")]
impl From<Field> for osiris_sdk::Field {
    fn from(field: Field) -> Self {
        let Field { name, format, nullable, children, metadata } = field;
        Self { name, format, nullable, children, metadata }
    }
}

#[cfg(feature = "driver")]
impl From<Node> for osiris_sdk::Node {
    fn from(Node { length, buffers }: Node) -> Self {
        Self { length, buffers }
    }
}

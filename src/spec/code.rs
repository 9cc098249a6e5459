//! The codes of diagnostics: stable, so that scripts and documents may name them.

/// The text is not TOML.
pub const SYNTAX: &str = "E0101";
/// A number is larger than any key takes.
pub const NUMBER_TOO_LARGE: &str = "E0102";
/// A key that no table has.
pub const UNKNOWN_KEY: &str = "E0103";
/// A key that must be there is not.
pub const MISSING_KEY: &str = "E0104";
/// A value of another kind than the key takes, such as a number for a text.
pub const WRONG_KIND: &str = "E0105";
/// A word that is none of the words the key takes.
pub const UNKNOWN_VALUE: &str = "E0106";
/// An environment that the file does not declare, or whose name cannot be one.
pub const ENVIRONMENT: &str = "E0107";
/// The file is too large to be a pipeline.
pub const TOO_LARGE: &str = "E0108";

/// A name that AWS or Snowflake would refuse.
pub const NAME: &str = "E0201";
/// The same name twice.
pub const DUPLICATE: &str = "E0202";
/// A name that the warehouse keeps for itself, or that pipectl does.
pub const RESERVED: &str = "E0203";
/// A value that does not look as it must.
pub const FORMAT: &str = "E0204";
/// A number outside its limits.
pub const RANGE: &str = "E0205";
/// A SQL type that does not exist or breaks its limits.
pub const SQL_TYPE: &str = "E0206";
/// A JSON path that cannot be read, or that starts from the wrong place.
pub const JSON_PATH: &str = "E0207";
/// A folder that cannot be one, or that lies in another table's folder.
pub const PREFIX: &str = "E0208";
/// A schedule that Snowflake would refuse.
pub const SCHEDULE: &str = "E0209";
/// A tag that AWS would refuse.
pub const TAG: &str = "E0210";
/// A table without what makes it one: columns, or a key.
pub const TABLE: &str = "E0211";
/// A value that this environment cannot do without.
pub const REQUIRED: &str = "E0212";

/// `adopt` where nothing can be adopted, or together with what an adopted thing does not allow.
pub const ADOPT: &str = "E0213";

/// A secret stands in the file.
pub const LITERAL_SECRET: &str = "E0301";
/// A reference to a secret that cannot be followed.
pub const SECRET_REFERENCE: &str = "E0302";

pub mod aws {
    pub mod session;
}
pub mod local;
pub mod snowflake {
    pub mod client;
    pub mod credentials;
}

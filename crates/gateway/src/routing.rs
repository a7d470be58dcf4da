//! Where a request leads: the table of the gateway's endpoints, and the routes of a configuration.

pub mod endpoint_table;
pub mod routes;

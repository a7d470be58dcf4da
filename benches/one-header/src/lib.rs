//! A filter that reads one request header and sets it again: what any proxy-wasm filter costs at
//! the least.
//!
//! It is compared with ours, so it is built in the same profile, on the Rust SDK as most are, and
//! asks the host for two things a request. Configured as `"idle"` it asks for nothing: what it
//! costs that a filter is there at all.

mod start {
    use proxy_wasm::hostcalls;
    use proxy_wasm::traits::{Context, HttpContext, RootContext};
    use proxy_wasm::types::{Action, ContextType, MapType};

    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(Root { idle: false }));
    }}

    struct Root {
        idle: bool,
    }

    impl Context for Root {}

    impl RootContext for Root {
        fn on_configure(&mut self, _: usize) -> bool {
            self.idle = self.get_plugin_configuration().is_some_and(|configuration| configuration == IDLE);
            true
        }

        fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
            if self.idle { Some(Box::new(Idle)) } else { Some(Box::new(Stream)) }
        }

        fn get_type(&self) -> Option<ContextType> {
            Some(ContextType::HttpContext)
        }
    }

    struct Stream;

    impl Context for Stream {}

    impl HttpContext for Stream {
        fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
            let read = hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, "authorization");
            if read.is_ok_and(|value| value.is_some()) {
                let _ = hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, "authorization", Some(REPLACED));
            }
            Action::Continue
        }
    }

    struct Idle;

    impl Context for Idle {}

    impl HttpContext for Idle {}

    /// The configuration is JSON, as every filter's here is.
    const IDLE: &[u8] = b"\"idle\"";
    const REPLACED: &[u8] = b"Bearer replaced";
}

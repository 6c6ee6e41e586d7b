//! One root per worker: takes the configuration and makes the directories it names.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;
use scim_filter::host::{self, SharedData};

use crate::config::Config;
use crate::request::{RequestContext, SharedWorker};
use crate::worker::Worker;

/// How often Envoy is told what was counted.
const REPORTS: Duration = Duration::from_secs(1);

/// The root context.
#[derive(Default)]
pub struct Root {
    worker: Option<SharedWorker>,
}

impl Root {
    /// Puts a configuration in force.
    ///
    /// # Errors
    /// One sentence that names the field that is wrong.
    fn configure(&mut self) -> Result<(), String> {
        let config = Config::parse(&self.get_plugin_configuration().unwrap_or_default());
        let config = Rc::new(config.map_err(|refused| refused.to_string())?);
        let mut worker = Worker::new(Rc::clone(&config), Rc::new(SharedData));
        let made = worker.establish(host::entropy, host::now())?;
        if made > 0 {
            log::warn!(
                "local mode: {made} directories were made in Envoy's memory; all they will hold is lost when Envoy stops"
            );
        }
        self.worker = Some(Rc::new(RefCell::new(worker)));
        self.set_tick_period(REPORTS);
        Ok(())
    }
}

impl Context for Root {
    fn on_done(&mut self) -> bool {
        host::report();
        true
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        if let Ok(level) = hostcalls::get_log_level() {
            proxy_wasm::set_log_level(level);
        }
        let configured = self.configure();
        if let Err(refused) = &configured {
            log::error!("configuration refused: {refused}");
        }
        configured.is_ok()
    }

    fn on_tick(&mut self) {
        host::report();
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(RequestContext::new(self.worker.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

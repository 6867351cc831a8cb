//! Tells the page what a panic says.

use std::cell::RefCell;

use js_sys::Function;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

thread_local! {
    static CALLBACK: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Calls `callback` with the message of a panic, such as memory that is not to be had. The call that
/// panicked never comes back, and the worker must be thrown away.
#[wasm_bindgen]
pub fn on_panic(
    #[wasm_bindgen(unchecked_param_type = "(message: string) => void")] callback: Function,
) {
    CALLBACK.set(Some(callback));
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("the program failed");
        CALLBACK.with_borrow(|callback| {
            if let Some(callback) = callback {
                // nobody is left to be told that it threw
                let _ = callback.call1(&JsValue::NULL, &message.into());
            }
        });
    }));
}

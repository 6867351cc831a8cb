// Tells when a GPU device that wasm asked for is lost; wasm itself would wait for it for ever.

interface Device {
  lost: Promise<{ reason: string; message: string }>;
}

interface AdapterPrototype {
  requestDevice(this: unknown, descriptor?: unknown): Promise<Device>;
}

/** Calls `lost` for every device that goes away from now on. */
export function watchDevices(lost: (message: string) => void): void {
  const { GPUAdapter } = globalThis as { GPUAdapter?: { prototype: AdapterPrototype } };
  if (!GPUAdapter) return;
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    const device = await requestDevice.call(this, descriptor);
    void device.lost.then(({ message }) => lost(message || "the browser took the GPU away"));
    return device;
  };
}

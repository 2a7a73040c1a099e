// Runs first in the box: what could speak to another machine is taken away before any other script
// begins. The policy forbids the same and more. Workers go too, which a frame without an origin
// cannot load: the library then hashes in the frame itself.
for (const name of [
  "RTCPeerConnection",
  "webkitRTCPeerConnection",
  "RTCDataChannel",
  "RTCIceTransport",
  "WebTransport",
  "WebSocket",
  "EventSource",
  "XMLHttpRequest",
  "Worker",
  "SharedWorker",
  "fetch",
  "open",
]) {
  if (name in self) Object.defineProperty(self, name, { value: undefined });
}
Object.defineProperty(Navigator.prototype, "sendBeacon", { value: undefined });

// Runs first in the box: what could still speak to another machine there is taken away before any
// other script begins. The policy forbids the rest.
for (const name of [
  "RTCPeerConnection",
  "webkitRTCPeerConnection",
  "RTCDataChannel",
  "RTCIceTransport",
  "WebTransport",
  "WebSocket",
  "EventSource",
  "XMLHttpRequest",
  "fetch",
  "open",
]) {
  if (name in self) Object.defineProperty(self, name, { value: undefined });
}
Object.defineProperty(Navigator.prototype, "sendBeacon", { value: undefined });

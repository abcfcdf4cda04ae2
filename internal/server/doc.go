// Package server owns the listeners: the limits on requests, and who may call what. It
// knows net/http and nothing about the handlers that it serves.
//
// Anyone can reach the public listener, so everything that a request without the token
// costs has a limit:
//
//   - [Serve] limits the time for headers, body and answer, the size of headers and the
//     number of connections. HTTP/2 is off, so a connection carries one request at a
//     time and the limit on connections also limits requests. At the limit, the
//     connection that has been idle, or else busy, for longest is closed: a normal
//     request takes milliseconds, so slow senders only displace each other. If the
//     listener stopped accepting instead, they could lock everyone out.
//   - [Public] guards Graph's paths, which take no token. A source that is not in
//     PUBLIC_ALLOW, or is over its rate, is rejected before its body is read. The first
//     16 KiB of a body, more than most notifications have, are always read; longer
//     bodies share 8 MiB, of which one source gets at most half. A request is passed on
//     once its whole body has arrived, so slow senders don't count towards the
//     concurrency limit. 503 makes Graph send the notification again.
//   - [Access] guards all other paths. The token is checked before the body is read, so
//     only callers that show it can cause work.
package server

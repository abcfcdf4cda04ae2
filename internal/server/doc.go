// Package server owns the listeners: TLS, ACME, the limits of a request, and who may
// call what. It knows net/http and nothing of what is served.
//
// Anyone can reach the public listener, so every cost of a request that shows no token
// has a limit:
//
//   - [Serve] limits the time for headers, body and answer, the size of headers and the
//     number of connections. HTTP/2 is off, so a connection carries one request at a
//     time and the limit on connections is one on requests. When it is reached, the
//     connection that has been idle, or busy, for longest is closed: an honest request
//     takes milliseconds, so slow senders only push out each other. A listener that
//     stopped accepting would let them lock everyone out.
//   - [Public] guards Graph's paths, which take no token. A source that is not in
//     PUBLIC_ALLOW, or over its rate, is refused unread. The first 16 KiB of a body,
//     more than notifications mostly have, need no permission; longer bodies share 8 MiB, of
//     which one source gets half. A request is passed on once its whole body is here,
//     so a slow sender never takes the place of a request that can be worked on. 503
//     makes Graph send it again.
//   - [Access] guards all other paths. The token is compared before anything of the
//     body is read, so only callers that show it can cause work. [Fence] hides these
//     paths from a tunnel.
//
// A certificate comes from two files ([Certificate]) or from an ACME server ([ACME]).
package server

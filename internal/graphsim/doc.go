// Package graphsim is a local Microsoft Graph with its login endpoint: what a program
// that monitors Out of Office needs of both, over HTTPS, and strict. What the real Graph
// refuses, it refuses, with Graph's own error bodies. Everything about it can be driven
// from outside, and it misbehaves on request.
//
// # What it simulates
//
// Login: OpenID metadata and keys of both versions, and
// /{tenant}/oauth2/v2.0/token for client credentials (a secret, or an assertion,
// whose signature is not checked). Tokens are signed; Graph takes only those that
// were issued here, and checks expiry, audience and roles.
//
// Graph, below /v1.0: users by id, UPN and $filter; mailbox settings; $batch;
// subscriptions with the handshake while the POST is open, lifecycle, quotas and
// limits; presence in bulk with its quota, which follows the mailbox at once, as that
// of the real Graph does not. A mailbox takes 4 requests at a time. Change
// notifications come from the calendar block that Outlook offers with a reply;
// the setting itself announces nothing, as in the real Graph.
//
// Subscriptions expire silently, and stay listed for 2 minutes. clientState is
// shown only in answer to the POST that brought it.
//
// # Control API
//
// Plain HTTP on a port of its own. Each route is a method of [Server] too;
// cmd/graphsim/README.md describes them and the faults.
package graphsim

// Package graphsim is a local Microsoft Graph with its login endpoint, as far as a
// program that monitors automatic replies needs them. It serves HTTPS and is strict: it
// refuses what the real Graph refuses, with the same error bodies. Tests control all of
// its state and make it misbehave.
//
// # What it simulates
//
// Login: OpenID metadata and keys of both versions, and /{tenant}/oauth2/v2.0/token for
// client credentials (a secret, or an assertion, whose signature is not checked). Graph
// accepts only tokens issued here, and checks expiry, audience and roles.
//
// Graph, below /v1.0: users by id, UPN and $filter; mailbox settings; $batch;
// subscriptions with the validation handshake, lifecycle notifications, quotas and limits;
// presence in bulk with its quota. Unlike in the real Graph, presence follows the mailbox
// immediately. A mailbox serves 4 requests at a time. Change notifications come from the
// calendar entry that Outlook offers with automatic replies; as in the real Graph, a
// change of the setting alone sends none.
//
// Subscriptions expire silently and stay listed for 2 minutes. clientState is returned
// only in the response to the POST that created the subscription.
//
// # Control API
//
// Plain HTTP on a separate port. Each route is also a method of [Server];
// cmd/graphsim/README.md describes the routes and the faults.
package graphsim

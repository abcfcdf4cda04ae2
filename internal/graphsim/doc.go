// Package graphsim is a local Microsoft Graph with its login endpoint: what a
// program that watches Out of Office needs of both, over HTTPS, and strict.
// What the real Graph refuses, it refuses, with Graph's own error bodies.
// Everything about it can be driven from outside, and it misbehaves on request.
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
// limits; presence in bulk. A mailbox takes 4 requests at a time. Change
// notifications come from the calendar block that Outlook offers with a reply;
// the setting itself announces nothing, as in the real Graph.
//
// Subscriptions expire silently, and stay listed for 2 minutes. clientState is
// shown only in answer to the POST that brought it.
//
// # Control API
//
// Plain HTTP, JSON both ways, on a port of its own. {x} is an object id, a UPN
// or a mail address. Answers are 200 with JSON, or 204; refusals are
// {"error":"…"} with 400, 404, 409 or 502. Unknown fields are refused. Each route is
// a method of [Server] too.
//
//	GET    /users                           {"users":[…]}
//	POST   /users                           {"userPrincipalName","mail","displayName","proxyAddresses","id"}; only the first is needed
//	POST   /users/bulk                      {"count":50,"domain":"contoso.example"} makes user0001@… and so on
//	GET    /users/{x}
//	DELETE /users/{x}                       subscriptions go with it, announced
//	GET    /users/{x}/automaticReplies
//	PUT    /users/{x}/automaticReplies      the fields to change of {"status","externalAudience","internalReplyMessage",
//	                                        "externalReplyMessage","scheduledStartDateTime","scheduledEndDateTime"},
//	                                        a time as in Graph or in RFC 3339; "calendarBlock":true also changes the
//	                                        calendar, which subscriptions notice
//	PUT    /users/{x}/mailbox               {"error":"ErrorAccessDenied"} refuses, {"body":{…}} is sent instead of the
//	                                        setting, {} ends both
//	POST   /users/{x}/changes               {"collection":"events","changeType":"updated"}: a notification for no change of the setting
//	GET    /subscriptions                   {"subscriptions":[…]}, living ones, with clientState
//	POST   /subscriptions/{id}/lifecycle    {"event":"reauthorizationRequired|subscriptionRemoved|missed"}
//	POST   /subscriptions/{id}/remove       {"silent":true} without a lifecycle notification, {} or nothing with one
//	POST   /subscriptions/{id}/expire       now, silently
//	GET    /faults                          {"faults":[…]}
//	POST   /faults                          a [Fault]: {"operation","kind","probability","times","user","status","code",
//	                                        "retryAfter","delay","life"}
//	DELETE /faults                          ends all
//	DELETE /faults/{id}                     ends one
//	POST   /tokens/revoke                   tokens issued so far are refused
//	POST   /notify                          {"url":"…","body":{…}} sends that as a notification now, a string as plain text;
//	                                        {"status":202} is what the URL answered
//	GET    /stats                           [Stats]
//	POST   /stats/reset
//	POST   /reset                           users, subscriptions, faults and counts are gone
//
// Out of office, with the calendar block that leads to a notification:
//
//	curl -X PUT $CONTROL/users/user0001@contoso.example/automaticReplies \
//	  -d '{"status":"alwaysEnabled","externalReplyMessage":"<p>Back on Monday</p>","calendarBlock":true}'
//
// The next three reads of anybody are refused for two seconds each:
//
//	curl $CONTROL/faults -d '{"operation":"read","kind":"throttle","retryAfter":"2s","times":3}'
//
// One answer in ten takes half a second:
//
//	curl $CONTROL/faults -d '{"operation":"all","kind":"latency","delay":"500ms","probability":0.1}'
package graphsim

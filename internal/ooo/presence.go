package ooo

// Presence is what the presence of a user says of its automatic replies. It is
// a hint as good as a notification: it may be late, and knows no text.
type Presence struct {
	ID   ObjectID
	Away bool
}

// MostPresences is how many users Graph takes in one request for presence.
const MostPresences = 650

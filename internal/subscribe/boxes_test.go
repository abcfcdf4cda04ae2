package subscribe_test

import (
	"context"
	"slices"

	"outlook-monitor/internal/ooo"
)

// JoinMailbox and its like are the mailboxes of a world.

func (w *world) JoinMailbox(_ context.Context, c ooo.Claim, user ooo.User) (ooo.Mailbox, error) {
	var box ooo.Mailbox
	err := w.write(c, func(u *ooo.User) {
		if u.Mailbox != "" && u.Mailbox != user.Person.ID {
			w.leave(u.Mailbox, u.Key)
		}
		if !slices.Contains(w.boxes[user.Person.ID], u.Key) || w.left[u.Key] {
			w.leave(user.Person.ID, u.Key)
			w.boxes[user.Person.ID] = append(w.boxes[user.Person.ID], u.Key)
		}
		box = w.box(user.Person.ID, u.Key)
		u.Mailbox, u.CoveredBy = user.Person.ID, ""
		if box.Owner != u.Key {
			u.CoveredBy = box.Owner
		}
	})
	return box, err
}

func (w *world) PartMailbox(_ context.Context, user ooo.User) (ooo.Mailbox, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.Contains(w.boxes[user.Mailbox], user.Key) {
		w.leave(user.Mailbox, user.Key)
		w.boxes[user.Mailbox] = append(w.boxes[user.Mailbox], user.Key)
		w.left[user.Key] = true
	}
	return w.box(user.Mailbox, user.Key), w.err
}

func (w *world) LeaveMailbox(_ context.Context, user ooo.User) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leave(user.Mailbox, user.Key)
	return w.err
}

func (w *world) leave(id ooo.ObjectID, key ooo.Key) {
	w.boxes[id] = slices.DeleteFunc(w.boxes[id], func(k ooo.Key) bool { return k == key })
	delete(w.left, key)
}

func (w *world) box(id ooo.ObjectID, key ooo.Key) ooo.Mailbox {
	var box ooo.Mailbox
	for _, other := range w.boxes[id] {
		u := w.users[other]
		switch {
		case other != key && (u == nil || u.Active && u.Person.ID != id):
			continue
		case other != key && (w.left[other] || !u.Active):
			box.Leaving = true
			continue
		case other != key:
			box.Others = append(box.Others, other)
		}
		if box.Owner == "" && !w.left[other] {
			box.Owner = other
		}
	}
	return box
}

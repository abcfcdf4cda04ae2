package graph

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/users"

	"outlook-monitor/internal/ooo"
)

// person is what is asked of a directory user.
var person = []string{"id", "userPrincipalName", "displayName"}

// Find returns the one person with the given address: the user principal name,
// the mail address, or one of the further addresses of a mailbox. The errors are
// [ooo.ErrNotInDirectory], [ooo.ErrAmbiguous], [ooo.ErrDenied],
// [ooo.Throttled], [ooo.ErrUnauthorized], [ooo.ErrRejected] and
// [ooo.ErrUnavailable].
//
// Graph takes no address but the user principal name in a path, and lists a
// hundred users at a time, so the other two are searched for by filter.
func (c *Client) Find(ctx context.Context, address string) (ooo.Person, error) {
	ctx, cancel := context.WithTimeout(ctx, directoryTime)
	defer cancel()
	if couldBePrincipal.MatchString(address) {
		found, err := c.userBuilder().ByUserId(address).Get(ctx, &users.UserItemRequestBuilderGetRequestConfiguration{
			QueryParameters: &users.UserItemRequestBuilderGetQueryParameters{Select: person},
		})
		if err == nil {
			return personOf(found)
		}
		// A name that Graph can't take for a user principal name may be an
		// address all the same.
		err = because(sdkError(err), aPerson)
		if !errors.Is(err, ooo.ErrNotInDirectory) && !errors.Is(err, ooo.ErrRejected) {
			return ooo.Person{}, err
		}
	}
	quoted := strings.ReplaceAll(address, "'", "''")
	found, err := c.search(ctx, "mail eq '"+quoted+"'", false)
	if errors.Is(err, ooo.ErrNotInDirectory) {
		// Graph tells the primary address from the others by the case of its prefix.
		found, err = c.search(ctx, "proxyAddresses/any(p:p eq 'smtp:"+quoted+"') or proxyAddresses/any(p:p eq 'SMTP:"+quoted+"')", true)
	}
	return found, err
}

// Lookup returns the person with an object id. A mailbox that can't be found says
// nothing about its user; the directory does. The errors are those of [Client.Find].
func (c *Client) Lookup(ctx context.Context, id ooo.ObjectID) (ooo.Person, error) {
	if !ooo.ValidObjectID(id) { // the path would name something else
		return ooo.Person{}, ooo.ErrNotInDirectory
	}
	ctx, cancel := context.WithTimeout(ctx, directoryTime)
	defer cancel()
	found, err := c.userBuilder().ByUserId(string(id)).Get(ctx, &users.UserItemRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.UserItemRequestBuilderGetQueryParameters{Select: person},
	})
	if err != nil {
		return ooo.Person{}, because(sdkError(err), aPerson)
	}
	return personOf(found)
}

// Ping asks the directory a small question, only to learn whether Graph answers with
// the token. The errors are those of [Client.Find].
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, directoryTime)
	defer cancel()
	_, err := c.userBuilder().Get(ctx, &users.UsersRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.UsersRequestBuilderGetQueryParameters{Select: []string{"id"}, Top: new(int32(1))},
	})
	if err != nil {
		return because(sdkError(err), aPerson)
	}
	return nil
}

// couldBePrincipal has the characters that Entra allows in a user principal
// name. Some that it does not would change what the path means.
var couldBePrincipal = regexp.MustCompile(`^[A-Za-z0-9'._!#^~-]+@[A-Za-z0-9.-]+$`)

// search returns the one person that filter finds. Advanced filters go by an
// index, which may lag behind by seconds.
func (c *Client) search(ctx context.Context, filter string, advanced bool) (ooo.Person, error) {
	ask := &users.UsersRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.UsersRequestBuilderGetQueryParameters{
			Filter: &filter, Select: person, Top: new(int32(2)), // two are one too many
		},
	}
	if advanced {
		ask.Headers = abstractions.NewRequestHeaders()
		ask.Headers.Add("ConsistencyLevel", "eventual")
		ask.QueryParameters.Count = new(true)
	}
	page, err := c.userBuilder().Get(ctx, ask)
	switch {
	case err != nil:
		return ooo.Person{}, because(sdkError(err), aPerson)
	case page == nil:
		return ooo.Person{}, errIncomplete
	}
	switch found := page.GetValue(); len(found) {
	case 0:
		return ooo.Person{}, ooo.ErrNotInDirectory
	case 1:
		return personOf(found[0])
	}
	return ooo.Person{}, ooo.ErrAmbiguous
}

func personOf(user models.Userable) (ooo.Person, error) {
	if user == nil || text(user.GetId()) == "" {
		return ooo.Person{}, errIncomplete
	}
	return ooo.Person{
		ID:                ooo.ObjectID(text(user.GetId())),
		UserPrincipalName: text(user.GetUserPrincipalName()),
		DisplayName:       text(user.GetDisplayName()),
	}, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

var (
	errIncomplete = fmt.Errorf("%w: the answer lacks what was asked for", ooo.ErrUnavailable)
	errUnreadable = fmt.Errorf("%w: the answer broke off or can't be understood", ooo.ErrUnavailable)
)

// sdkError takes the door's error out of what the SDK made of it. What the SDK
// itself complains of is an answer that it can't read; its text may quote it.
func sdkError(err error) error {
	err = withoutURL(err)
	_, refused := errors.AsType[*refusal](err)
	if refused || errors.Is(err, ooo.ErrUnavailable) || errors.Is(err, ooo.ErrUnauthorized) {
		return err
	}
	return errUnreadable
}

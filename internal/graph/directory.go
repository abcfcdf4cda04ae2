package graph

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"strings"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/users"

	"outlook-monitor/internal/ooo"
)

// personFields are what is asked of a directory user.
var personFields = []string{"id", "userPrincipalName", "displayName"}

// Find returns the one person with the given address: the user principal name,
// the mail address, or one of the further addresses of a mailbox. The errors are
// [ooo.ErrNotInDirectory], [ooo.ErrAmbiguous] and [ooo.ErrDenied].
//
// Graph takes no address but the user principal name in a path, and lists a
// hundred users at a time, so the other two are searched for by filter.
func (c *Client) Find(ctx context.Context, address string) (ooo.Person, error) {
	ctx, cancel := begin(ctx, opDirectory, directoryTime)
	defer cancel()
	if couldBePrincipal.MatchString(address) {
		// A name that Graph can't take for a user principal name may be an address all
		// the same.
		found, err := c.person(ctx, address)
		if !errors.Is(err, ooo.ErrNotInDirectory) && !errors.Is(err, ooo.ErrRejected) {
			return found, err
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
	ctx, cancel := begin(ctx, opDirectory, directoryTime)
	defer cancel()
	return c.person(ctx, string(id))
}

// Ping asks the directory a small question, only to learn whether Graph answers with
// the token. The errors are those of [Client.Find].
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := begin(ctx, opDirectory, directoryTime)
	defer cancel()
	_, err := c.users().Get(ctx, &users.UsersRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.UsersRequestBuilderGetQueryParameters{Select: []string{"id"}, Top: new(int32(1))},
	})
	return fromSDK(err)
}

// users returns the SDK's builder, a new one for each call: it writes to its own path
// parameters when it is used, so that two goroutines must not share one.
func (c *Client) users() *users.UsersRequestBuilder {
	return users.NewUsersRequestBuilderInternal(nil, c.adapter)
}

// person returns the person with an object id or a user principal name.
func (c *Client) person(ctx context.Context, key string) (ooo.Person, error) {
	found, err := c.users().ByUserId(key).Get(ctx, &users.UserItemRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.UserItemRequestBuilderGetQueryParameters{Select: personFields},
	})
	if err != nil {
		return ooo.Person{}, fromSDK(err)
	}
	return personOf(found)
}

// couldBePrincipal has the characters that Entra allows in a user principal
// name. Some that it does not would change what the path means.
var couldBePrincipal = regexp.MustCompile(`^[A-Za-z0-9'._!#^~-]+@[A-Za-z0-9.-]+$`)

// search returns the one person that filter finds. Advanced filters go by an
// index, which may lag behind by seconds.
func (c *Client) search(ctx context.Context, filter string, advanced bool) (ooo.Person, error) {
	ask := &users.UsersRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.UsersRequestBuilderGetQueryParameters{
			Filter: &filter, Select: personFields, Top: new(int32(2)), // two are one too many
		},
	}
	if advanced {
		ask.Headers = abstractions.NewRequestHeaders()
		ask.Headers.Add("ConsistencyLevel", "eventual")
		ask.QueryParameters.Count = new(true)
	}
	page, err := c.users().Get(ctx, ask)
	switch {
	case err != nil:
		return ooo.Person{}, fromSDK(err)
	case page == nil:
		return ooo.Person{}, errUnreadable
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
		return ooo.Person{}, errUnreadable
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

// fromSDK takes the transport's error out of what the SDK made of it. Other errors are
// the SDK's own, about an answer that it can't read; their text may quote it.
func fromSDK(err error) error {
	wrapped, ok := errors.AsType[*url.Error](err)
	switch {
	case err == nil:
		return nil
	case ok:
		return wrapped.Err
	}
	return errUnreadable
}

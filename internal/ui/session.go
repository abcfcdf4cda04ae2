package ui

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"

	"outlook-monitor/internal/api"
)

const (
	// sessionCookie has no path, so that browsers send it only to the paths beside the
	// login form, even behind a proxy that adds a prefix.
	sessionCookie   = "outlook_monitor_session"
	sessionLifetime = 12 * time.Hour
	maxForm         = 4 << 10
)

// sessionKey derives the key that signs sessions, so that a session does not help to guess
// the token.
func sessionKey(token string) []byte {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte("outlook-monitor: sessions of the operator's page, version 1"))
	return mac.Sum(nil)
}

// newSession returns a session: a JWT with nothing but its expiry.
func (u *UI) newSession(expires time.Time) string {
	claims := jwt.RegisteredClaims{ExpiresAt: jwt.NewNumericDate(expires)}
	session, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(u.key) // never fails for bytes
	return session
}

// valid reports whether a session is signed with the key and has not expired.
func (u *UI) valid(session string) bool {
	key := func(*jwt.Token) (any, error) { return u.key, nil }
	_, err := jwt.Parse(session, key, jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired())
	return err == nil
}

// admitted reports whether a request shows a session or the token.
func (u *UI) admitted(r *http.Request) bool {
	if cookie, err := r.Cookie(sessionCookie); err == nil && u.valid(cookie.Value) {
		return true
	}
	return u.cfg.Access.Admits(r)
}

// refuseUnauthorized answers a request without a session, with the login form for a
// browser. It does not offer basic auth, because browsers would then show their own dialog.
func (u *UI) refuseUnauthorized(c *gin.Context) {
	c.Header("WWW-Authenticate", `Bearer realm="outlook-monitor"`)
	if c.Request.Method == http.MethodGet && !strings.HasPrefix(c.Request.URL.Path, "/ui/api/") &&
		strings.Contains(c.GetHeader("Accept"), "text/html") {
		u.form(c, http.StatusUnauthorized, "")
		return
	}
	api.Refuse(c, http.StatusUnauthorized, "log in at /ui/, or show MONITOR_TOKEN as a bearer token or as the password of basic auth")
}

// login starts a session if the form has the right token.
func (u *UI) login(c *gin.Context) {
	c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, maxForm)
	if err := c.Request.ParseForm(); err != nil {
		api.Refuse(c, http.StatusBadRequest, "not a login form")
		return
	}
	if !u.cfg.Access.Accepts(c.Request, c.Request.PostForm.Get("token")) {
		u.form(c, http.StatusUnauthorized, "That is not the token of this service.")
		return
	}
	expires := time.Now().Add(sessionLifetime)
	http.SetCookie(c.Writer, u.cookie(c.Request, u.newSession(expires), expires))
	c.Header("Location", "./")
	c.Status(http.StatusSeeOther)
}

// logout deletes the session in the browser.
func (u *UI) logout(c *gin.Context) {
	http.SetCookie(c.Writer, u.cookie(c.Request, "", time.Unix(1, 0)))
	c.Header("Location", "./")
	c.Status(http.StatusSeeOther)
}

// cookie returns the session cookie. It is for https only if the browser used https.
func (u *UI) cookie(r *http.Request, value string, expires time.Time) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Expires: expires, HttpOnly: true, Secure: u.cfg.Access.Secure(r), SameSite: http.SameSiteStrictMode,
	}
}

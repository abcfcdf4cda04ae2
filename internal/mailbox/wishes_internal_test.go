package mailbox

import (
	"reflect"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

// TestAddressKeepsItsWish: a field of a wish that its address does not keep is lost when the
// address moves, and when Redis comes back with older data.
func TestAddressKeepsItsWish(t *testing.T) {
	wish := ooo.Wish{On: true, At: time.Unix(1, 0)}
	for field, value := range reflect.ValueOf(&wish).Elem().Fields() {
		if field.Type.Kind() == reflect.String {
			value.SetString(field.Name)
		}
		if field.Name != "Person" && value.IsZero() {
			t.Errorf("this test does not set %s", field.Name)
		}
	}
	var a ooo.Address
	setWish(&a, wish)
	if got := wishFor(&a, wish.Person); got != wish {
		t.Errorf("wishFor = %+v after setWish of %+v", got, wish)
	}
}

package core

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// What is known of a token or an application either survives being folded, field
// by field, or keeps it from being folded. A field that is added and forgotten
// in Fold fails here.
func TestFold_LosesNothing(t *testing.T) {
	check := func(name string, blank func() appregistry.Session, anew func([]byte) appregistry.Session) {
		fields := reflect.TypeOf(blank()).Elem()
		for i := range fields.NumField() {
			f := fields.Field(i)
			if f.Name == "rec" {
				continue
			}
			s := blank()
			set(t, settable(reflect.ValueOf(s).Elem().Field(i)))
			b, ok := s.Fold(nil)
			if !ok {
				continue
			}
			if d := cmp.Diff(s, anew(b), cmp.Exporter(func(reflect.Type) bool { return true })); d != "" {
				t.Errorf("%s.%s (-before +after):\n%s", name, f.Name, d)
			}
		}
	}
	check("token", func() appregistry.Session { return newToken(nil) }, func(b []byte) appregistry.Session {
		u := newToken(nil)
		u.unfold(b)
		return u
	})
	check("app", func() appregistry.Session {
		a := newApp(nil)
		a.durable = true // else it is not folded at all
		return a
	}, func(b []byte) appregistry.Session {
		a := newApp(nil)
		a.unfold(b)
		return a
	})
}

func settable(v reflect.Value) reflect.Value {
	return reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
}

// set gives a field a value that is not its zero.
func set(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(90*time.Minute) + 1)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.String:
		v.SetString("x")
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Interface:
		v.Set(reflect.ValueOf(errLeft))
	case reflect.Struct:
		for i := range v.NumField() {
			set(t, settable(v.Field(i)))
		}
	default:
		t.Fatalf("no value for a %s", v.Kind())
	}
}

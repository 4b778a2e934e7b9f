package gitops

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
)

// argoHealth is what a health script returns.
type argoHealth struct {
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
}

// argoAction is an action as Argo CD offers it.
type argoAction struct {
	Name        string `json:"name"`
	Disabled    bool   `json:"disabled,omitempty"`
	IconClass   string `json:"iconClass,omitempty"`
	DisplayName string `json:"displayName,omitempty"`
}

// runLua runs a script as Argo CD does where useOpenLibs is not set: with the base and table libraries, with os.time and
// os.date by require, without string, math and io, and for a second at most.
func runLua(u *unstructured.Unstructured, script string) (lua.LValue, error) {
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable,
	} {
		if err := l.CallByParam(lua.P{Fn: l.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			return nil, err
		}
	}
	l.PreloadModule(lua.OsLibName, safeOS)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	l.SetContext(ctx)
	l.SetGlobal("obj", toLua(l, u.Object))
	if err := l.DoString(script); err != nil {
		return nil, err
	}
	returned := l.Get(-1)
	if returned.Type() != lua.LTTable {
		return nil, fmt.Errorf("the script returns a %s, not a table", returned.Type())
	}
	return returned, nil
}

// safeOS has the functions of os that Argo CD leaves. The time is fixed, so that tests can compare.
func safeOS(l *lua.LState) int {
	l.Push(l.SetFuncs(l.NewTable(), map[string]lua.LGFunction{
		"time": func(l *lua.LState) int { l.Push(lua.LNumber(luaTime.Unix())); return 1 },
		"date": func(l *lua.LState) int {
			if l.CheckString(1) != "!%Y-%m-%dT%H:%M:%SZ" {
				l.RaiseError("a format that the test does not know")
			}
			l.Push(lua.LString(luaTime.Format(time.RFC3339)))
			return 1
		},
	}))
	return 1
}

var luaTime = time.Date(2026, time.November, 26, 12, 0, 0, 0, time.UTC)

// toLua decodes numbers of every type that objects have.
func toLua(l *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := l.CreateTable(len(value), 0)
		for _, item := range value {
			table.Append(toLua(l, item))
		}
		return table
	case map[string]any:
		table := l.CreateTable(0, len(value))
		for name, item := range value {
			table.RawSetString(name, toLua(l, item))
		}
		return table
	}
	return lua.LNil
}

func decodeLua(value lua.LValue, into any) error {
	encoded, err := luajson.Encode(value)
	if err != nil {
		return err
	}
	return json.Unmarshal(encoded, into)
}

// healthOf runs a health script.
func healthOf(u *unstructured.Unstructured, script string) (health argoHealth, err error) {
	returned, err := runLua(u, script)
	if err != nil {
		return health, err
	}
	err = decodeLua(returned, &health)
	switch health.Status {
	case "Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown":
	default:
		err = fmt.Errorf("Argo CD has no health %q", health.Status)
	}
	return health, err
}

// actionsOf runs a discovery script; the actions are in the order of their names.
func actionsOf(u *unstructured.Unstructured, script string) ([]argoAction, error) {
	returned, err := runLua(u, script)
	if err != nil {
		return nil, err
	}
	byName := map[string]argoAction{}
	if err := decodeLua(returned, &byName); err != nil {
		return nil, err
	}
	actions := make([]argoAction, 0, len(byName))
	for _, name := range sorted(byName) {
		action := byName[name]
		action.Name = name
		actions = append(actions, action)
	}
	return actions, nil
}

// act runs an action, and returns the object that it makes of this one and the merge patch that Argo CD sends for it.
func act(u *unstructured.Unstructured, script string) (*unstructured.Unstructured, []byte, error) {
	returned, err := runLua(u, script)
	if err != nil {
		return nil, nil, err
	}
	changed := map[string]any{}
	if err := decodeLua(returned, &changed); err != nil {
		return nil, nil, err
	}
	restoreEmptyMaps(changed, u.Object)
	before, err := json.Marshal(u.Object)
	if err != nil {
		return nil, nil, err
	}
	after, err := json.Marshal(changed)
	if err != nil {
		return nil, nil, err
	}
	patch, err := jsonpatch.CreateMergePatch(before, after)
	return &unstructured.Unstructured{Object: changed}, patch, err
}

// restoreEmptyMaps does what Argo CD does with the result of an action: Lua does not tell an empty map from an empty list.
func restoreEmptyMaps(changed, original map[string]any) {
	for name, was := range original {
		switch was := was.(type) {
		case map[string]any:
			switch is := changed[name].(type) {
			case map[string]any:
				restoreEmptyMaps(is, was)
			case []any:
				if len(is) == 0 {
					changed[name] = was
				}
			}
		case []any:
			is, isList := changed[name].([]any)
			for i := 0; isList && i < len(is) && i < len(was); i++ {
				left, isMap := is[i].(map[string]any)
				right, both := was[i].(map[string]any)
				if isMap && both {
					restoreEmptyMaps(left, right)
				}
			}
		}
	}
}

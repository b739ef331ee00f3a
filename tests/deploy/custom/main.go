// Command custom reads one object from standard input and fails if a field of it is none of its kind's, or has another type. It is for
// objects whose schemas are not Kubernetes' own; the types are those of the projects that define them.
package main

import (
	"fmt"
	"io"
	"os"

	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := check(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(input io.Reader) error {
	text, err := io.ReadAll(input)
	if err != nil {
		return err
	}
	var about struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := yaml.Unmarshal(text, &about); err != nil {
		return err
	}
	types := map[string]any{
		"gateway.networking.k8s.io/v1 HTTPRoute":  &gateway.HTTPRoute{},
		"monitoring.coreos.com/v1 ServiceMonitor": &monitoring.ServiceMonitor{},
		"monitoring.coreos.com/v1 PrometheusRule": &monitoring.PrometheusRule{},
		"keda.sh/v1alpha1 ScaledObject":           &keda.ScaledObject{},
	}
	name := about.APIVersion + " " + about.Kind
	object, known := types[name]
	if !known {
		return fmt.Errorf("no types are known for %s", name)
	}
	return yaml.UnmarshalStrict(text, object)
}

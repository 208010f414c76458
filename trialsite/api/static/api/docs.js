// The whole configuration of the page, in a file of its own: the content policy allows no inline script.
SwaggerUIBundle({
  url: "openapi.yaml",
  dom_id: "#swagger-ui",
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});

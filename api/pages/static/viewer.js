// Shows the description of the API in Swagger UI.
SwaggerUIBundle({
  url: "/openapi.json",
  domNode: document.getElementById("viewer"),
  deepLinking: true,
  docExpansion: "none",
  validatorUrl: null,
});

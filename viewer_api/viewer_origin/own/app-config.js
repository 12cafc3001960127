/* OHIF's configuration in this hub: one data source, the DICOMweb of the grant this tab has. */
(function () {
  const grant = sessionStorage.getItem("eirhub-grant");
  if (!grant) {
    location.replace("/open");
    return;
  }
  // The package's guided tour is in English and lies over the picture.
  localStorage.setItem("shownTours", JSON.stringify(["basicViewerTour"]));
  const root = `${location.origin}/g/${grant}/dicom-web`;
  const study = new URLSearchParams(location.search).get("StudyInstanceUIDs") || "";
  if (/^[0-9.]{1,64}$/.test(study)) askAhead(`${root}/studies/${study}`).catch(() => {});
  window.config = {
    name: "EIR Hub",
    routerBasename: "/",
    extensions: [{ id: "eirhub.few-contexts", preRegistration: keepFewContexts }],
    modes: [],
    customizationService: {},
    showStudyList: true,
    showWarningMessageForCrossOrigin: false,
    showCPUFallbackMessage: false,
    showLoadingIndicator: true,
    strictZSpacingForVolumeViewport: true,
    groupEnabledModesFirst: true,
    investigationalUseDialog: { option: "configure", days: 365 },
    maxNumberOfWebWorkers: Math.max(1, Math.min(4, (navigator.hardwareConcurrency || 2) - 1)),
    maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
    showErrorDetails: "production",
    defaultDataSourceName: "eirhub",
    dataSources: [
      {
        namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
        sourceName: "eirhub",
        configuration: {
          friendlyName: "EIR Hub",
          name: "eirhub",
          qidoRoot: root,
          wadoRoot: root,
          wadoUriRoot: `${location.origin}/g/${grant}/wado`,
          qidoSupportsIncludeField: true,
          supportsReject: false,
          dicomUploadEnabled: false,
          imageRendering: "wadors",
          thumbnailRendering: "thumbnailDirect",
          enableStudyLazyLoad: true,
          supportsFuzzyMatching: true,
          supportsWildcard: true,
          staticWado: false,
          singlepart: "bulkdata,video",
          bulkDataURI: { enabled: true, relativeResolution: "studies" },
          omitQuotationForMultipartRequest: true,
        },
      },
    ],
    httpErrorHandler: (error) => {
      // Signed out, paused too long, or no longer allowed: the study page opens it again.
      if (error && error.status === 401) location.replace("/open");
    },
  };

  /* The metadata is asked for while the scripts are still being read; the viewer's own request for
     the same address is then answered with it, or with the error that this one leaves to it. */
  async function askAhead(address) {
    const answer = await fetch(`${address}/series`, { headers: { Accept: "application/dicom+json" } });
    if (!answer.ok) return;
    for (const series of (await answer.json()).slice(0, 8)) {
      const hint = document.createElement("link");
      hint.rel = "preload";
      hint.as = "fetch";
      hint.crossOrigin = "anonymous";
      hint.href = `${address}/series/${series["0020000E"].Value[0]}/metadata`;
      document.head.append(hint);
    }
  }

  /* Seven WebGL contexts would be made before the first picture; stacks beside each other share. */
  function keepFewContexts() {
    const { cornerstone } = window;
    const now = cornerstone?.getConfiguration();
    if (!now?.rendering?.webGlContextCount) return;
    cornerstone.setConfiguration({ ...now, rendering: { ...now.rendering, webGlContextCount: 2 } });
  }
})();

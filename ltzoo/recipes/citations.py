"""BibTeX entries of the publications that recipes cite, by key."""

CITATIONS: dict[str, str] = {
    "rangwani2022": """@inproceedings{rangwani2022escaping,
  title     = {Escaping Saddle Points for Effective Generalization on Class-Imbalanced Data},
  author    = {Rangwani, Harsh and Aithal, Sumukh K and Mishra, Mayank and Babu, R. Venkatesh},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2022}
}""",
    "lyu2025": """@inproceedings{lyu2025ssesam,
  title     = {{SSE-SAM}: Balancing Head and Tail Classes Gradually through Stage-Wise {SAM}},
  author    = {Lyu, Xingyu and Xu, Qianqian and Yang, Zhiyong and Lyu, Shaojie and Huang, Qingming},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  year      = {2025}
}""",
    "foret2021": """@inproceedings{foret2021sharpness,
  title     = {Sharpness-Aware Minimization for Efficiently Improving Generalization},
  author    = {Foret, Pierre and Kleiner, Ariel and Mobahi, Hossein and Neyshabur, Behnam},
  booktitle = {International Conference on Learning Representations},
  year      = {2021}
}""",
    "zhou2023": """@inproceedings{zhou2023imbsam,
  title     = {{ImbSAM}: A Closer Look at Sharpness-Aware Minimization in Class-Imbalanced Recognition},
  author    = {Zhou, Yixuan and Qu, Yi and Xu, Xing and Shen, Hengtao},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year      = {2023}
}""",
    "cao2019": """@inproceedings{cao2019learning,
  title     = {Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss},
  author    = {Cao, Kaidi and Wei, Colin and Gaidon, Adrien and Arechiga, Nikos and Ma, Tengyu},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2019}
}""",
    "menon2021": """@inproceedings{menon2021longtail,
  title     = {Long-tail learning via logit adjustment},
  author    = {Menon, Aditya Krishna and Jayasumana, Sadeep and Rawat, Ankit Singh and Jain, Himanshu and
               Veit, Andreas and Kumar, Sanjiv},
  booktitle = {International Conference on Learning Representations},
  year      = {2021}
}""",
    "kini2021": """@inproceedings{kini2021labelimbalanced,
  title     = {Label-Imbalanced and Group-Sensitive Classification under Overparameterization},
  author    = {Kini, Ganesh Ramachandra and Paraskevas, Orestis and Oymak, Samet and Thrampoulidis, Christos},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2021}
}""",
    "jin2017": """@inproceedings{jin2017escape,
  title     = {How to Escape Saddle Points Efficiently},
  author    = {Jin, Chi and Ge, Rong and Netrapalli, Praneeth and Kakade, Sham M. and Jordan, Michael I.},
  booktitle = {International Conference on Machine Learning},
  year      = {2017}
}""",
    "bisla2022": """@inproceedings{bisla2022lowpass,
  title     = {Low-Pass Filtering {SGD} for Recovering Flat Optima in the Deep Learning Optimization Landscape},
  author    = {Bisla, Devansh and Wang, Jing and Choromanska, Anna},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  year      = {2022}
}""",
    "lin2017": """@inproceedings{lin2017focal,
  title     = {Focal Loss for Dense Object Detection},
  author    = {Lin, Tsung-Yi and Goyal, Priya and Girshick, Ross and He, Kaiming and Doll{\\'a}r, Piotr},
  booktitle = {IEEE International Conference on Computer Vision},
  year      = {2017}
}""",
    "ren2020": """@inproceedings{ren2020balanced,
  title     = {Balanced Meta-Softmax for Long-Tailed Visual Recognition},
  author    = {Ren, Jiawei and Yu, Cunjun and Sheng, Shunan and Ma, Xiao and Zhao, Haiyu and Yi, Shuai and
               Li, Hongsheng},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2020}
}""",
    "kang2020": """@inproceedings{kang2020decoupling,
  title     = {Decoupling Representation and Classifier for Long-Tailed Recognition},
  author    = {Kang, Bingyi and Xie, Saining and Rohrbach, Marcus and Yan, Zhicheng and Gordo, Albert and
               Feng, Jiashi and Kalantidis, Yannis},
  booktitle = {International Conference on Learning Representations},
  year      = {2020}
}""",
    "zhang2018": """@inproceedings{zhang2018mixup,
  title     = {mixup: Beyond Empirical Risk Minimization},
  author    = {Zhang, Hongyi and Cisse, Moustapha and Dauphin, Yann N. and Lopez-Paz, David},
  booktitle = {International Conference on Learning Representations},
  year      = {2018}
}""",
    "zhong2021": """@inproceedings{zhong2021improving,
  title     = {Improving Calibration for Long-Tailed Recognition},
  author    = {Zhong, Zhisheng and Cui, Jiequan and Liu, Shu and Jia, Jiaya},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year      = {2021}
}""",
    "zhang2021": """@inproceedings{zhang2021distribution,
  title     = {Distribution Alignment: A Unified Framework for Long-tail Visual Recognition},
  author    = {Zhang, Songyang and Li, Zeming and Yan, Shipeng and He, Xuming and Sun, Jian},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year      = {2021}
}""",
    "li2025": """@inproceedings{li2025focalsam,
  title     = {{Focal-SAM}: Focal Sharpness-Aware Minimization for Long-Tailed Classification},
  author    = {Li, Sicong and Xu, Qianqian and Yang, Zhiyong and Wang, Zitai and Zhang, Linchao and Cao, Xiaochun and
               Huang, Qingming},
  booktitle = {International Conference on Machine Learning},
  year      = {2025}
}""",
    "yun2019": """@inproceedings{yun2019cutmix,
  title     = {{CutMix}: Regularization Strategy to Train Strong Classifiers with Localizable Features},
  author    = {Yun, Sangdoo and Han, Dongyoon and Oh, Seong Joon and Chun, Sanghyuk and Choe, Junsuk and
               Yoo, Youngjoon},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year      = {2019}
}""",
    "kwon2021": """@inproceedings{kwon2021asam,
  title     = {{ASAM}: Adaptive Sharpness-Aware Minimization for Scale-Invariant Learning of Deep Neural Networks},
  author    = {Kwon, Jungmin and Kim, Jeongseop and Park, Hyunseo and Choi, In Kwon},
  booktitle = {International Conference on Machine Learning},
  year      = {2021}
}""",
    "zhuang2022": """@inproceedings{zhuang2022surrogate,
  title     = {Surrogate Gap Minimization Improves Sharpness-Aware Training},
  author    = {Zhuang, Juntang and Gong, Boqing and Yuan, Liangzhe and Cui, Yin and Adam, Hartwig and
               Dvornek, Nicha C. and Tatikonda, Sekhar and Duncan, James S. and Liu, Ting},
  booktitle = {International Conference on Learning Representations},
  year      = {2022}
}""",
    "zhou2023ccsam": """@inproceedings{zhou2023classconditional,
  title     = {Class-Conditional Sharpness-Aware Minimization for Deep Long-Tailed Recognition},
  author    = {Zhou, Zhipeng and Li, Lanqing and Zhao, Peilin and Heng, Pheng-Ann and Gong, Wei},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year      = {2023}
}""",
    "li2024": """@inproceedings{li2024gaussian,
  title     = {Improving Visual Prompt Tuning by {Gaussian} Neighborhood Minimization for Long-Tailed Visual
               Recognition},
  author    = {Li, Mengke and Liu, Ye and Lu, Yang and Zhang, Yiqun and Cheung, Yiu-ming and Huang, Hui},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2024}
}""",
    "cui2019": """@inproceedings{cui2019classbalanced,
  title     = {Class-Balanced Loss Based on Effective Number of Samples},
  author    = {Cui, Yin and Jia, Menglin and Lin, Tsung-Yi and Song, Yang and Belongie, Serge},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year      = {2019}
}""",
    "jordan2024": """@misc{jordan2024cifar,
  title         = {94\\% on {CIFAR}-10 in 3.29 Seconds on a Single {GPU}},
  author        = {Jordan, Keller},
  year          = {2024},
  eprint        = {2404.00498},
  archivePrefix = {arXiv}
}""",
    "jordan2024muon": """@misc{jordan2024muon,
  title  = {Muon: An optimizer for hidden layers in neural networks},
  author = {Jordan, Keller and Jin, Yuchen and Boza, Vlado and You, Jiacheng and Cesista, Franz and Newhouse, Laker and
            Bernstein, Jeremy},
  year   = {2024},
  url    = {https://kellerjordan.github.io/posts/muon/}
}""",
    "park2021": """@inproceedings{park2021influence,
  title     = {Influence-Balanced Loss for Imbalanced Visual Classification},
  author    = {Park, Seulki and Lim, Jongin and Jeon, Younghan and Choi, Jin Young},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year      = {2021}
}""",
    "cui2021": """@inproceedings{cui2021parametric,
  title     = {Parametric Contrastive Learning},
  author    = {Cui, Jiequan and Zhong, Zhisheng and Liu, Shu and Yu, Bei and Jia, Jiaya},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year      = {2021}
}""",
    "wang2021": """@inproceedings{wang2021longtailed,
  title     = {Long-tailed Recognition by Routing Diverse Distribution-Aware Experts},
  author    = {Wang, Xudong and Lian, Long and Miao, Zhongqi and Liu, Ziwei and Yu, Stella X.},
  booktitle = {International Conference on Learning Representations},
  year      = {2021}
}""",
    "zhang2022": """@inproceedings{zhang2022selfsupervised,
  title     = {Self-Supervised Aggregation of Diverse Experts for Test-Agnostic Long-Tailed Recognition},
  author    = {Zhang, Yifan and Hooi, Bryan and Hong, Lanqing and Feng, Jiashi},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2022}
}""",
    "zhu2022": """@inproceedings{zhu2022balanced,
  title     = {Balanced Contrastive Learning for Long-Tailed Visual Recognition},
  author    = {Zhu, Jianggang and Wang, Zheng and Chen, Jingjing and Chen, Yi-Ping Phoebe and Jiang, Yu-Gang},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year      = {2022}
}""",
    "samuel2021": """@inproceedings{samuel2021distributional,
  title     = {Distributional Robustness Loss for Long-tail Learning},
  author    = {Samuel, Dvir and Chechik, Gal},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year      = {2021}
}""",
    "du2023": """@inproceedings{du2023global,
  title     = {Global and Local Mixture Consistency Cumulative Learning for Long-tailed Visual Recognitions},
  author    = {Du, Fei and Yang, Peng and Jia, Qi and Nan, Fengtao and Chen, Xiaoting and Yang, Yun},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year      = {2023}
}""",
    "du2024": """@article{du2024probabilistic,
  title   = {Probabilistic Contrastive Learning for Long-Tailed Visual Recognition},
  author  = {Du, Chaoqun and Wang, Yulin and Song, Shiji and Huang, Gao},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  year    = {2024}
}""",
    "shi2024": """@inproceedings{shi2024longtail,
  title     = {Long-Tail Learning with Foundation Model: Heavy Fine-Tuning Hurts},
  author    = {Shi, Jiang-Xin and Wei, Tong and Zhou, Zhi and Shao, Jie-Jing and Han, Xin-Yan and Li, Yu-Feng},
  booktitle = {International Conference on Machine Learning},
  year      = {2024}
}""",
    "hu2022": """@inproceedings{hu2022lora,
  title     = {{LoRA}: Low-Rank Adaptation of Large Language Models},
  author    = {Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and
               Wang, Shean and Wang, Lu and Chen, Weizhu},
  booktitle = {International Conference on Learning Representations},
  year      = {2022}
}""",
}

METHOD_CITATIONS: dict[str, str] = {
    "ldam": "cao2019",
    "drw": "cao2019",
    "la": "menon2021",
    "vs": "kini2021",
    "sam": "foret2021",
    "imbsam": "zhou2023",
    "samext": "lyu2025",
    "ssesam": "lyu2025",
    "pgd": "jin2017",
    "lpfsgd": "bisla2022",
    "focal": "lin2017",
    "bs": "ren2020",
    "cb": "cui2019",
    "crt": "kang2020",
    "ce_mixup": "zhang2018",
    "la_cutmix": "yun2019",
    "mislas": "zhong2021",
    "lws": "kang2020",
    "taunorm": "kang2020",
    "ncm": "kang2020",
    "disalign": "zhang2021",
    "bsrt": "ren2020",
    "focalsam": "li2025",
    "ib": "park2021",
    "ride": "wang2021",
    "sade": "zhang2022",
    "paco": "cui2021",
    "bcl": "zhu2022",
    "proco": "du2024",
    "glmc": "du2023",
    "drolt_backbone": "samuel2021",
    "drolt": "samuel2021",
    "ccsam": "zhou2023ccsam",
    "gnm": "li2024",
    "asam": "kwon2021",
    "gsam": "zhuang2022",
    "groupsam": "zhou2023ccsam",
}
"""The publication that defines each loss, rule or perturbation, by its word in recipe names; CE and SGD have none."""

# The same losses in recipes that differ in something else.
METHOD_CITATIONS |= {
    word: METHOD_CITATIONS[loss]
    for loss in ("la", "bs", "vs")
    for word in (f"{loss}_long", *(f"{tuned}_{loss}" for tuned in ("adapt", "frozen", "norm", "full")))
}
